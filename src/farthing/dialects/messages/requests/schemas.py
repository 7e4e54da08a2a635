"""JSON schemas as Messages holds an answer, or a strict call, to them.

Its grammar knows fewer words than JSON Schema and refuses the others: limits of numbers, texts and lists,
conditions, most formats, objects with further fields. As the provider's SDK does, `held` takes the words out
and puts them into the description, where the model still reads them: what was held may then fall outside
`schema`, which is told (`loosened`). An object that is nothing but further fields cannot be held at all.

Source: docs "Structured outputs", "JSON Schema limitations".
"""

from typing import Any

from msgspec import Struct

from farthing.text.lenient_json import write_json
from farthing.types import Json

DEPTH_MAX = 200  # of a schema; deeper it stays as it is
FORMATS = frozenset({
    "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
})  # fmt: skip
_LIMITS = frozenset({
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "maxItems", "uniqueItems", "minProperties", "maxProperties", "contains", "minContains", "maxContains",
    "not", "if", "then", "else", "propertyNames", "dependentRequired", "dependentSchemas",
})  # fmt: skip
_NOTHING: Json = {}
_TABLES = frozenset({"properties", "$defs", "definitions"})
_SAYS_WHAT = frozenset({"properties", "anyOf", "oneOf", "allOf", "$ref", "enum", "const"})
_SCHEMAS = frozenset({"items", "anyOf", "oneOf", "allOf"})
_ROOT_UNIONS = frozenset({"anyOf", "oneOf", "allOf"})


class Held(Struct, frozen=True):
    schema: Any
    loosened: bool
    """It allows more than the schema that was given."""
    open: bool
    """An object in it has fields of any names, which the provider refuses: `schema` says less than meant."""


def of_object(parameters: Json) -> Json:
    """`parameters` as the schema of one object, which is all that arguments can be; itself if it is one.
    Unions at the root stay (`without_unions`)."""
    told, table = parameters.get("type"), parameters.get("properties", _NOTHING)
    if told == "object" and table.__class__ is dict and parameters.get("required", ()) is not None:
        return parameters
    kept = {name: value for name, value in parameters.items() if value is not None}
    if table.__class__ is not dict:
        kept.pop("properties", None)
    return {**kept, "type": "object"}


def has_unions(parameters: Json) -> bool:
    """Whether a schema says at its root that it is one of several, or all of them."""
    return not _ROOT_UNIONS.isdisjoint(parameters)


def without_unions(parameters: Json) -> Json:
    """A schema whose root is one object. What unions at the root demand is loosened to what every branch
    allows: the client reads the arguments anyway."""
    plain = {name: value for name, value in parameters.items() if name not in _ROOT_UNIONS}
    told = parameters.get("properties")
    properties = dict(told) if isinstance(told, dict) else {}
    for union in sorted(_ROOT_UNIONS & parameters.keys()):
        branches = parameters[union]
        for branch in branches if isinstance(branches, list) else ():
            if isinstance(branch, dict) and isinstance(branch.get("properties"), dict):
                for name, value in branch["properties"].items():
                    properties.setdefault(name, value)
    return {**plain, "type": "object", "properties": properties}


def held(schema: Any) -> Held:
    """`schema` is not changed. Never raises."""
    holder = _Holder()
    return Held(holder.hold(schema, 0), holder.loosened, holder.open)


class _Holder:
    __slots__ = ("loosened", "open")

    def __init__(self) -> None:
        self.loosened = self.open = False

    def hold(self, schema: Any, depth: int) -> Any:
        if depth > DEPTH_MAX:
            return schema
        if isinstance(schema, list):
            return [self.hold(one, depth + 1) for one in schema]
        if not isinstance(schema, dict):
            return schema
        kept: Json = {}
        taken: Json = {}
        for name, value in schema.items():
            if _is_refused(name, value):
                taken[name] = value
            elif name in _TABLES and isinstance(value, dict):
                kept[name] = {key: self.hold(one, depth + 2) for key, one in value.items()}
            elif name in _SCHEMAS:
                kept[name] = self.hold(value, depth + 1)
            else:
                kept[name] = value
        kind = schema.get("type")
        if kind == "object" or (isinstance(kind, list) and "object" in kind):
            self.open = self.open or _is_open(schema)
            kept["additionalProperties"] = False
        if taken:
            self.loosened = True
            told, words = kept.get("description"), write_json(taken).decode("utf-8", "replace")
            kept["description"] = f"{told}\n\n{words}" if isinstance(told, str) and told else words
        return kept


def _is_refused(name: str, value: Any) -> bool:
    if name == "format":
        return value not in FORMATS if isinstance(value, str) else True
    if name == "minItems":
        return value not in (0, 1)
    return name in _LIMITS


def _is_open(schema: Json) -> bool:
    """Whether it is a table of any names, so that no names at all would be another thing."""
    if "patternProperties" in schema:
        return True
    more = schema.get("additionalProperties")
    if more is False or isinstance(more, dict):
        return more is not False
    return not schema.get("properties") if more is True else _SAYS_WHAT.isdisjoint(schema)
