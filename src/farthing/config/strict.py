"""Converts plain tables from `tomllib` into frozen structs; collects every fault and guesses nothing.

Stricter than a decoder has to be, with more detailed messages: a person wrote the file and will read them.
"""

import functools
import math
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

Path = tuple[str | int, ...]
Leaf = Callable[[Any, Path], Any]
"""Reads one value of a type that this module does not know. Raises ValueError with the fault and the fix."""

BAD: Any = object()
"""Stands for a value whose fault was recorded."""

_EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    str: "text in quotes",
}


class FromVariable(str):
    """A value from an environment variable: text until the expected type is known."""

    __slots__ = ()


class Reader:
    """Reads one table. `faults` lists the faults in the order found."""

    def __init__(self, leaves: Mapping[type, Leaf]) -> None:
        self.leaves = leaves
        self.faults: list[tuple[Path, str]] = []
        self._above: frozenset[str] = frozenset()
        """Keys that stand before the first table."""

    def fault(self, path: Path, message: str) -> Any:
        self.faults.append((path, message))
        return BAD

    def read(self, kind: Any, value: Any, path: Path) -> Any:
        """Return `value` as `kind`, or `BAD` after recording the fault."""
        kind = _without_none(kind)
        if isinstance(value, FromVariable) and not self._takes_text(kind):
            value = parsed(value)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._struct(kind, value, path)
        if kind in self.leaves:
            return self._leaf(self.leaves[kind], value, path)
        origin = get_origin(kind)
        if origin is tuple:
            return self._array(get_args(kind)[0], value, path)
        if origin is dict:
            return self._table(get_args(kind)[1], value, path)
        if origin is Literal:
            return self._choice(get_args(kind), value, path)
        if origin in (Union, types.UnionType):
            return self._tagged(get_args(kind), value, path)
        return self._plain(kind, value, path)

    def _takes_text(self, kind: Any) -> bool:
        return kind is str or kind in self.leaves or get_origin(kind) is Literal

    def _leaf(self, read: Leaf, value: Any, path: Path) -> Any:
        try:
            return read(value, path)
        except ValueError as why:
            return self.fault(path, str(why))

    def _struct(
        self,
        kind: type[msgspec.Struct],
        value: Any,
        path: Path,
        others: Iterable[type[msgspec.Struct]] = (),
        *,
        assumed: bool = False,
    ) -> Any:
        """`others`: the kinds that it could be instead; `assumed`: the file does not say which it is."""
        if not isinstance(value, dict):
            return self.fault(path, f"expected a table, got {described(value)}{_one_table(value, path)}")
        if (written := getattr(kind, "written", None)) is not None:
            value = written(value)
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        if not path:
            self._above = frozenset(name for name, field in fields.items() if _is_plain(field.type))
        tag_field = kind.__struct_config__.tag_field
        known = [*fields, *([tag_field] if tag_field else [])]
        good = True
        for key in value:
            if key not in known:
                elsewhere = _taken_by(key, others, kind, assumed=assumed)
                hint = "; write it before the first table" if key in self._above else nearest(key, known)
                self.fault((*path, key), elsewhere or f"unknown key {quoted(key)}{hint}")
                good = False
        read: dict[str, Any] = {}
        for name, field in fields.items():
            if name in value:
                read[name] = self.read(field.type, value[name], (*path, name))
                good = good and read[name] is not BAD
            elif field.required:
                self.fault(path, f"the key {quoted(name)} is missing{_of_table(field.type, (*path, name))}")
                good = False
        return kind(**read) if good else BAD

    def _array(self, kind: Any, value: Any, path: Path) -> Any:
        if not isinstance(value, list):
            hint = f"; write [{_shown(value)}]" if isinstance(value, str) else ""
            if isinstance(value, dict) and _holds_tables(kind):
                hint = f"; write [[{_header(path)}]], once for each"
            return self.fault(path, f"expected a list, got {described(value)}{hint}")
        read = [self.read(kind, item, (*path, index)) for index, item in enumerate(value)]
        return BAD if any(item is BAD for item in read) else tuple(read)

    def _table(self, kind: Any, value: Any, path: Path) -> Any:
        if not isinstance(value, dict):
            hint = _one_table(value, (*path, "NAME") if _holds_tables(kind) else path)
            return self.fault(path, f"expected a table, got {described(value)}{hint}")
        read = {key: self.read(kind, item, (*path, key)) for key, item in value.items()}
        return BAD if any(item is BAD for item in read.values()) else read

    def _choice(self, choices: tuple[Any, ...], value: Any, path: Path, assumed: Any = None) -> Any:
        """One of `choices`, of which `assumed` need not be written; None: all need to."""
        if value in choices and isinstance(value, str):
            return str(value)
        allowed = ", ".join(map(quoted, choices))
        hint = nearest(value, choices)
        if not hint and assumed is not None:
            hint = f"; leave it out for {quoted(assumed)}"
        return self.fault(path, f"expected one of {allowed}; got {described(value)}{hint}")

    def _tagged(self, kinds: tuple[Any, ...], value: Any, path: Path) -> Any:
        """One of `kinds`, by its tag; without a tag the default kind, if there is one."""
        tags = {kind.__struct_config__.tag: kind for kind in kinds}
        tag_field = kinds[0].__struct_config__.tag_field
        if not isinstance(value, dict):
            return self.fault(path, f"expected a table, got {described(value)}{_one_table(value, path)}")
        assumed = next((tag for tag, kind in tags.items() if getattr(kind, "assumed", False)), None)
        guessed = tag_field not in value and assumed is not None
        if guessed:
            value = {tag_field: assumed, **value}
        if tag_field not in value:
            allowed = ", ".join(map(quoted, tags))
            return self.fault(path, f"the key {quoted(tag_field)} is missing; it is one of {allowed}")
        tag = self._choice(tuple(tags), value[tag_field], (*path, tag_field), assumed)
        return BAD if tag is BAD else self._struct(tags[tag], value, path, kinds, assumed=guessed)

    def _plain(self, kind: Any, value: Any, path: Path) -> Any:
        number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        if kind in (float, Decimal) and number:
            if math.isfinite(value):
                return kind(value)
            return self.fault(path, f"expected a finite number, got {described(value)}")
        if kind is not Decimal and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return kind(value)
        return self.fault(path, f"expected {_EXPECTED[kind]}, got {described(value)}")


@functools.cache
def _without_none(kind: Any) -> Any:
    """`T` of `T | None`: TOML has no null, so an absent key means None."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    rest = tuple(part for part in get_args(kind) if part is not types.NoneType)
    return rest[0] if len(rest) == 1 else functools.reduce(lambda left, right: left | right, rest)


def _kind(kind: type[msgspec.Struct]) -> str:
    """`kind = "sqlite"`"""
    return f"{kind.__struct_config__.tag_field} = {quoted(kind.__struct_config__.tag)}"


def _taken_by(
    key: str, kinds: Iterable[type[msgspec.Struct]], this: type[msgspec.Struct], *, assumed: bool
) -> str:
    """Which of `kinds` accept the key that `this` does not, and the fix, in words; empty: none accepts it."""
    takers = [_kind(kind) for kind in kinds if key in kind.__struct_fields__]
    if not takers:
        return ""
    fix = f"write {' or '.join(takers)}" if assumed else "remove it"
    return f"is a key of {' and of '.join(takers)}, this is {_kind(this)}; {fix}"


def _of_table(kind: Any, path: Path) -> str:
    """The fix if a table is missing."""
    return f"; write [{_header(path)}]" if _holds_tables(_without_none(kind)) else ""


def _is_plain(kind: Any) -> bool:
    """Whether a value of `kind` is neither a table nor a list of tables."""
    kind = _without_none(kind)
    inner = [part for part in get_args(kind) if part is not Ellipsis]
    return get_origin(kind) is not dict and not any(map(_holds_tables, inner or [kind]))


def _holds_tables(kind: Any) -> bool:
    """Whether a value of `kind` is written as a table with its own header."""
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    return all(isinstance(one, type) and issubclass(one, msgspec.Struct) for one in kinds)


def _one_table(value: Any, path: Path) -> str:
    """The fix if double brackets made a list of tables where one table belongs."""
    tables = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    return f"; write [{_header(path)}]" if tables else ""


def _header(path: Path) -> str:
    """The text between the brackets of a table's header, which does not number the elements of a list."""
    return ".".join(part for part in path if isinstance(part, str))


def parsed(text: str) -> Any:
    """The TOML value that `text` spells, else the text itself, whose type then fails with a clear message."""
    try:
        return tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        return str(text)


def described(value: Any) -> str:
    """`value` for an error message: short, and never a whole table."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {_shown(value)}"
        case int() | float() | Decimal():
            return f"the number {value}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return f"a {type(value).__name__}"


def _shown(text: str) -> str:
    return quoted(text if len(text) <= 40 else text[:37] + "...")


def quoted(text: object) -> str:
    return f'"{text}"'


def nearest(name: object, known: Iterable[str]) -> str:
    """`; did you mean "…"?`, or nothing if no known name is close."""
    import difflib  # takes about a millisecond, and is needed only for error messages

    close = difflib.get_close_matches(str(name).lower(), list(known), n=1, cutoff=0.6)
    return f"; did you mean {quoted(close[0])}?" if close else ""


def dotted(path: Path) -> str:
    """`route.rules[1].when`"""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out
