"""The schema of a tool's arguments as Converse takes it: that of one object.

Nova takes no more of it than its properties and which of them are required, and refuses a request for any
other word at the root of a schema, be it `$schema`, `additionalProperties` or the definitions that the rest
refers to. These go in where they are meant.

Source: "Defining a tool" of Amazon Nova's guide.
"""

from typing import Any

from farthing.dialects.messages.requests.schemas import has_unions, of_object, without_unions
from farthing.types import Json

DEPTH_MAX = 40
"""Of schemas in schemas: where one means itself, what is deeper may be anything."""
NODES_MAX = 20_000
"""Of a schema with its definitions in their places; behind them it may be anything."""
_NO_INPUT: Json = {"type": "object", "properties": {}}
_ROOT = ("type", "properties", "required")
_ROOT_ONLY = frozenset(_ROOT)
_UNREAD = frozenset({
    *_ROOT, "$comment", "$defs", "$id", "$ref", "$schema", "additionalProperties", "default", "definitions",
    "description", "examples", "title",
})  # fmt: skip
"""What holds no argument to anything, where nothing is held to the schema."""
_VALUES = frozenset({"const", "default", "enum", "example", "examples", "required"})


def of_arguments(parameters: Json | None, *, plain: bool) -> tuple[Json, bool]:
    """The schema of an object, and whether it allows more than `parameters`, which are not changed. `plain`:
    only what Nova takes."""
    if not parameters:
        return _NO_INPUT, False
    schema = of_object(parameters)
    if not plain or schema.keys() <= _ROOT_ONLY:
        return schema, False
    placed = _Placing(schema).place(schema, 0, frozenset())
    loosened = not schema.keys() <= _UNREAD
    if has_unions(placed):
        placed = without_unions(placed)
    return {"properties": {}, **{name: placed[name] for name in _ROOT if name in placed}}, loosened


class _Placing:
    """Puts the definitions of one schema where they are referred to."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self._nodes = 0

    def place(self, schema: Any, depth: int, within: frozenset[str]) -> Any:
        """`within`: what is being placed around it."""
        if schema.__class__ is list:
            return [self.place(one, depth + 1, within) for one in schema]
        if schema.__class__ is not dict:
            return schema
        self._nodes += 1
        if depth > DEPTH_MAX or self._nodes > NODES_MAX:
            return {}
        told = schema.get("$ref")
        if told.__class__ is str:
            meant = None if told in within else self._meant(told)
            more = {name: value for name, value in schema.items() if name != "$ref"}
            return self.place({**(meant or {}), **more}, depth + 1, within | {told})
        placed: Json = {}
        for name, value in schema.items():
            if name in _VALUES:
                placed[name] = value
            elif name == "properties" and value.__class__ is dict:
                placed[name] = {key: self.place(one, depth + 1, within) for key, one in value.items()}
            elif name not in ("$defs", "definitions"):
                placed[name] = self.place(value, depth + 1, within)
        return placed

    def _meant(self, reference: str) -> Json | None:
        """What is defined in this schema under a `#/…`; None: nothing."""
        start, _, path = reference.partition("#/")
        at: Any = self._root
        for name in path.split("/") if path and not start else ("",):
            if at.__class__ is not dict:
                return None
            at = at.get(name.replace("~1", "/").replace("~0", "~"))
        return at if at.__class__ is dict else None
