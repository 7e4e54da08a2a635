"""Whether a text is JSON that fits a JSON Schema: the structural part of draft 2020-12. Pure.

Supported: `type`, `enum`, `const`, `properties`, `required`, `additionalProperties`, `propertyNames`,
`items`, `prefixItems`, `minItems`, `maxItems`, `uniqueItems`, `minProperties`, `maxProperties`, `minLength`,
`maxLength`, `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`, `allOf`, `anyOf`,
`oneOf`, `not`, `if`/`then`/`else`, and `$ref` within the same schema. Ignored: `pattern` and
`patternProperties`, because a client's schema may contain an expression that never ends; `format`, which the
standard treats as an annotation; references to other documents. A schema is untrusted: its cost is bounded,
and one that costs more gives no verdict.
"""

import math
from collections.abc import Callable
from typing import Any

import msgspec

from farthing.types import Json, Request

DEPTH_MAX = 64
STEPS_MAX = 200_000  # about 0.2 s; an answer of 10,000 values against a simple schema takes 40,000
STEP_CHARS = 1_024  # characters compared or serialised per step
WORDS_MAX = 80

_decode = msgspec.json.Decoder().decode

_KINDS: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: _number(value),
    "integer": lambda value: _number(value) and (isinstance(value, int) or value.is_integer()),
}


class CannotTell(Exception):
    """The schema is invalid, or too expensive to check. The message never contains the answer's text."""


def check_json(text: str, schema: Any = None, *, steps_max: int = STEPS_MAX) -> str | None:
    """Why `text` is not JSON that fits `schema`; None: it fits. Without a schema any JSON will do.

    A Markdown fence around the JSON is ignored; `steps_max` bounds the cost. The reason names a place and a
    rule, never content of the answer.

    Raises:
        CannotTell: it cannot be decided.
    """
    try:
        value = _decode(unfenced(text))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return "not JSON"
    return None if schema is None else fits(value, schema, steps_max=steps_max)


def fits(value: Any, schema: Any, *, steps_max: int = STEPS_MAX) -> str | None:
    """Like `check_json`, for a parsed value."""
    try:
        found = _Check(schema, steps_max).fault(value, schema, "$", 0)
    except RecursionError as error:
        raise CannotTell("the answer or the schema is nested too deeply") from error
    return None if found is None else found[: WORDS_MAX * 2]


def schema_of(request: Request) -> Any:
    """The schema that `request` demands of its answer (`response_format`); True where any JSON object will
    do; None if it demands none."""
    wanted = request.body.get("response_format")
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_object":
        return {"type": "object"}
    named = wanted.get("json_schema")
    if wanted.get("type") != "json_schema" or not isinstance(named, dict):
        return None
    schema = named.get("schema")
    return schema if isinstance(schema, dict | bool) else None


def unfenced(text: str) -> str:
    """`text` without surrounding white space and Markdown fence."""
    text = text.strip()
    if not text.startswith("```") or not text.endswith("```") or len(text) < 6:
        return text
    first, newline, rest = text[:-3].partition("\n")
    return rest.strip() if newline and first[3:].strip().lower() in ("", "json") else text


class _Check:
    """One check of one value: the root schema for references, and the steps left."""

    def __init__(self, root: Any, steps_max: int) -> None:
        self._root = root
        self._left = steps_max

    def _spend(self, steps: int) -> None:
        """Raises:
        CannotTell: no steps are left.
        """
        self._left -= steps
        if self._left < 0:
            raise CannotTell("the schema is too expensive to check")

    def fault(self, value: Any, schema: Any, place: str, depth: int) -> str | None:
        """The first fault of `value`; None: none."""
        self._spend(1 if depth <= DEPTH_MAX else STEPS_MAX + 1)
        if schema is True:
            return None
        if schema is False:
            return f"{place}: nothing is allowed here"
        if not isinstance(schema, dict):
            raise CannotTell("a part of the schema is neither an object nor a boolean")
        try:
            return (
                self._plain(value, schema, place)
                or self._combined(value, schema, place, depth)
                or (isinstance(value, dict) and self._object(value, schema, place, depth))
                or (isinstance(value, list) and self._array(value, schema, place, depth))
                or None
            )
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            raise CannotTell("the schema is invalid") from error

    def _combined(self, value: Any, schema: Json, place: str, depth: int) -> str | None:
        if "$ref" in schema:
            fault = self.fault(value, self._resolved(schema["$ref"]), place, depth + 1)
            if fault is not None:
                return fault
        for part in schema.get("allOf", ()):
            fault = self.fault(value, part, place, depth + 1)
            if fault is not None:
                return fault
        if "anyOf" in schema and not any(self._fits(value, part, depth) for part in schema["anyOf"]):
            return f"{place}: fits none of anyOf"
        if "oneOf" in schema and sum(self._fits(value, part, depth) for part in schema["oneOf"]) != 1:
            return f"{place}: does not fit exactly one of oneOf"
        if "not" in schema and self._fits(value, schema["not"], depth):
            return f"{place}: matches a schema under not"
        if "if" in schema:
            part = schema.get("then" if self._fits(value, schema["if"], depth) else "else", True)
            return self.fault(value, part, place, depth + 1)
        return None

    def _fits(self, value: Any, schema: Any, depth: int) -> bool:
        return self.fault(value, schema, "$", depth + 1) is None

    def _plain(self, value: Any, schema: Json, place: str) -> str | None:
        """Faults that need no subschema."""
        kind = schema.get("type")
        if kind is not None:
            kinds = [kind] if isinstance(kind, str) else kind
            self._spend(len(kinds) - 1)
            if not any(_KINDS.get(name, _never)(value) for name in kinds):
                return f"{place}: not of the type {_word('/'.join(kinds))}"
        if "enum" in schema and not any(self._equal(value, one) for one in schema["enum"]):
            return f"{place}: none of the enum"
        if "const" in schema and not self._equal(value, schema["const"]):
            return f"{place}: not the const"
        if isinstance(value, str):
            if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
                return f"{place}: {len(value)} characters"
            return None
        return _number_fault(value, schema, place) if _number(value) else None

    def _equal(self, left: Any, right: Any) -> bool:
        """JSON equality: true is not 1, and 1.0 is 1."""
        self._spend(1)
        if isinstance(left, bool) or isinstance(right, bool):
            return left is right
        if isinstance(left, dict) and isinstance(right, dict):
            if len(left) != len(right):
                return False
            self._spend(len(left))
            return left.keys() == right.keys() and all(self._equal(left[key], right[key]) for key in left)
        if isinstance(left, list) and isinstance(right, list):
            return len(left) == len(right) and all(map(self._equal, left, right))
        if isinstance(left, str):
            self._spend(len(left) // STEP_CHARS)
        return bool(left == right)

    def _object(self, value: Json, schema: Json, place: str, depth: int) -> str | None:
        known = schema.get("properties", {})
        required = schema.get("required", ())
        self._spend(len(required))
        for name in required:
            if name not in value:
                return f"{place}: {_word(name)} is missing"
        if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", math.inf):
            return f"{place}: {len(value)} properties"
        others = schema.get("additionalProperties", True)
        if "patternProperties" in schema:
            others = True  # patternProperties is ignored, so any other name may match it
        names = schema.get("propertyNames", True)
        if not known and others is True and names is True:
            return None
        self._spend(len(value))
        for name, item in value.items():
            if names is not True and not self._fits(name, names, depth):
                return f"{place}: a name that is not allowed"
            if name in known:
                fault = self.fault(item, known[name], f"{place}.{_word(name)}", depth + 1)
            elif others is False:
                fault = f"{place}: a property that is not allowed"
            else:
                fault = None if others is True else self.fault(item, others, f"{place}.*", depth + 1)
            if fault is not None:
                return fault
        return None

    def _array(self, value: list[Any], schema: Json, place: str, depth: int) -> str | None:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            return f"{place}: {len(value)} items"
        if schema.get("uniqueItems"):
            seen = set()
            for item in value:
                written = msgspec.json.encode(item, order="sorted")
                self._spend(1 + len(written) // 16)
                if written in seen:
                    return f"{place}: an item twice"
                seen.add(written)
        first = schema.get("prefixItems", ())
        rest = schema.get("items", True)
        if not first and rest is True:
            return None
        self._spend(len(value))
        for index, item in enumerate(value):
            part = first[index] if index < len(first) else rest
            fault = None if part is True else self.fault(item, part, f"{place}[{index}]", depth + 1)
            if fault is not None:
                return fault
        return None

    def _resolved(self, reference: Any) -> Any:
        """The target of a reference.

        Raises:
            CannotTell: it leaves the schema, or leads nowhere.
        """
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise CannotTell("the schema refers to another document, or to an anchor")
        found = self._root
        parts = reference[1:].split("/")[1:]
        self._spend(len(parts))
        for part in parts:
            part = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and part.isdigit() and int(part) < len(found):
                found = found[int(part)]
            elif isinstance(found, dict) and part in found:
                found = found[part]
            else:
                raise CannotTell("the schema refers to nothing")
        return found


def _number_fault(value: float, schema: Json, place: str) -> str | None:
    low, over = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)
    high, under = schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf)
    if not (low <= value <= high and over < value < under):
        return f"{place}: out of its bounds"
    step = schema.get("multipleOf")
    if step and abs(value / step - round(value / step)) > 1e-9:
        return f"{place}: not a multiple of {step}"
    return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _never(value: Any) -> bool:
    raise CannotTell("the schema has an unknown type")


def _word(name: Any) -> str:
    """A name from the schema, for a reason: short, and on one line."""
    text = str(name)[:WORDS_MAX]
    return text if text.isprintable() else "?"
