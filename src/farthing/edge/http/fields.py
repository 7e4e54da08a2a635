"""Reads the fields of a body into a struct; errors use the words of JSON."""

import re
from typing import Any

import msgspec

from farthing.errors import InvalidRequest
from farthing.types import Json

NAME_CHARS_MAX = 100

_KIND = re.compile(r"`([a-z]+(?: \| [a-z]+)*)`")
_BOUND = re.compile(r" (of length )?(>=|<=) (-?\d+)(?:\.0\b)?")
_WORDS = {
    "array": "an array",
    "bool": "true or false",
    "float": "a number",
    "int": "an integer",
    "null": "null",
    "object": "an object",
    "str": "a string",
}


def convert(body: Json, kind: Any, *, hint: str = "") -> Any:
    """`body` as the struct `kind`. `hint` ends what is said of a value that does not fit.

    Raises:
        InvalidRequest: names the field, what stands there and what is expected.
    """
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        if "missing required field" in what:
            missing = what.rpartition("field `")[2].rstrip("`")
            field = f"{field}.{missing}" if field else missing
            raise InvalidRequest(f"`{field}` is missing: send it{hint}", param=field) from None
        if "unknown field" in what and not field:
            unknown = what.rpartition("field `")[2].rstrip("`")[:NAME_CHARS_MAX]
            known = ", ".join(kind.__struct_fields__)
            raise InvalidRequest(f"there is no field `{unknown}`; there is {known}", param=unknown) from None
        where = f"`{field}`" if field else "the body"
        raise InvalidRequest(f"{where}: {in_json(what)}{hint}", param=field or None) from None


def in_json(what: str) -> str:
    """The decoder's message with the types of JSON in place of those of Python."""
    what = _KIND.sub(lambda found: _any_of(found[1].split(" | ")), what)
    return _BOUND.sub(_least_or_most, what[:1].lower() + what[1:])


def _any_of(kinds: list[str]) -> str:
    words = list(dict.fromkeys(_WORDS.get(kind, kind) for kind in kinds))
    if "a number" in words and "an integer" in words:
        words.remove("an integer")
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _least_or_most(found: re.Match[str]) -> str:
    bound = "at least" if found[2] == ">=" else "at most"
    return f" {found[1] or 'of '}{bound} {found[3]}"
