"""JSON schemas as `parametersJsonSchema` and `responseJsonSchema` take them.

The older fields `parameters` and `responseSchema` know a part of OpenAPI's schemas alone and refuse
references, unions of types and `additionalProperties`: these take JSON Schema as it is, but for the name of
its own dialect.
"""

from typing import Any

from farthing.dialects.messages.requests.schemas import of_object
from farthing.types import Json

DEPTH_MAX = 200  # of a schema; deeper it stays as it is
_DIALECT = "$schema"
_TABLES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_VALUES = frozenset({"const", "default", "enum", "example", "examples"})
_SAYS_WHAT = ("properties", "$ref", "anyOf", "oneOf", "allOf", "additionalProperties", "patternProperties")


def plain(schema: Any, depth: int = 0) -> Any:
    """`schema` without the name of its dialect, at any depth. It is not changed."""
    if depth > DEPTH_MAX:
        return schema
    if isinstance(schema, list):
        return [plain(one, depth + 1) for one in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Json = {}
    for name, value in schema.items():
        if name in _TABLES and isinstance(value, dict):
            kept[name] = {key: plain(inner, depth + 1) for key, inner in value.items()}
        elif name in _VALUES:
            kept[name] = value
        elif name != _DIALECT:
            kept[name] = plain(value, depth + 1)
    return kept


def of_arguments(parameters: Json | None) -> Json | None:
    """The schema of the arguments of a tool; None: it takes none."""
    if not parameters or not any(parameters.get(name) for name in _SAYS_WHAT):
        return None
    found: Json = plain(parameters)
    return found if "$ref" in found else of_object(found)
