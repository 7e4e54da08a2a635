"""The seam between how a provider misbehaves (`reply`) and what it says: one `Dialect` for each wire form."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Protocol

from tests.faults.connection import Incoming
from tests.faults.script import Plan
from tests.faults.truth import Call

Json = dict[str, Any]
Refusal = tuple[int, str]
"""Status and message."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream."""

    data: Json | str
    """Text goes as it is, anything else as JSON."""
    name: str = ""
    """What stands behind `event:`; empty: there is no such line."""
    tokens: int = 0
    counts: bool = True
    """It is one of the events that scripts count. One that is not goes wherever the one before it went."""
    raw: bytes | None = None
    """Its bytes, where it is no server-sent event."""


class Said(Protocol):
    """One good answer; events and whole say the same."""

    def whole(self) -> Json: ...

    def events(self) -> Iterator[Event]:
        """Those of its stream except the last."""
        ...

    @property
    def ending(self) -> Event:
        """The last one."""
        ...


class Dialect(Protocol):
    """What a good provider says in one wire form, and what it does not take."""

    def refused(self, request: Incoming, body: Json | None, plan: Plan) -> Refusal | None:
        """Why the request is not taken; None: it is. `body` is None where it is no JSON object."""
        ...

    def ready(self, call: Call, body: Json, plan: Plan) -> Json | None:
        """The answer to what is no question to a model, by the path of `call`; None: it is one."""
        ...

    def say(self, call: Call, body: Json, plan: Plan) -> Said:
        """The answer to a question; what it bills is noted in `call`."""
        ...

    def error(self, call: Call, status: int, code: str | None = None, message: str | None = None) -> Event:
        """As an event; `data` is the error object that also stands alone."""
        ...

    def fields(self, call: Call, status: int, plan: Plan) -> dict[str, str]:
        """Header fields that every reply has."""
        ...


def pieces_of(text: str) -> list[str]:
    """Cut `text` into this provider's tokens: words with the space before them."""
    return re.findall(r"\s*\S+", text) or ([text] if text else [])


def example_of(schema: Any, root: Json, depth: int = 0) -> Any:
    """A small value that is valid for the common part of JSON Schema."""
    if not isinstance(schema, dict) or depth > 16:
        return None
    if "$ref" in schema:
        return example_of(root.get("$defs", {}).get(str(schema["$ref"]).rsplit("/", 1)[-1]), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return example_of(schema[key][0], root, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", (schema.get("enum") or [None])[0])
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties: Json = schema.get("properties", {})
        return {name: example_of(each, root, depth + 1) for name, each in properties.items()}
    if kind == "array":
        return [example_of(schema.get("items", {}), root, depth + 1)] * max(1, schema.get("minItems", 1))
    number = schema.get("minimum", 1)
    return {"string": "text", "integer": number, "number": number, "boolean": True}.get(str(kind))


def planned(plan: Plan, text: str) -> list[str]:
    """The tokens of a text that the plan repeats or cuts to its `n`."""
    pieces = pieces_of(text)
    if plan.n is None:
        return pieces
    pieces = pieces or [" word"]
    return [pieces[index % len(pieces)] for index in range(plan.n)]
