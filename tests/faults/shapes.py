"""Whether a body is what the service model of AWS's SDK says that it is.

The shapes were recorded from it; each member that they do not name is an error, as the SDK would have it.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent.parent / "data" / "bedrock_shapes.json"


@cache
def shapes() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RECORDED.read_text())["shapes"]
    return found


def faults(value: Any, shape: str, where: str = "$") -> list[str]:
    """What is wrong with `value`; empty: nothing."""
    told = shapes()[shape]
    match told["type"]:
        case "document":
            return [] if isinstance(value, dict) else [f"{where}: no object"]
        case "structure":
            return _of_structure(value, told, where)
        case "list":
            if not isinstance(value, list):
                return [f"{where}: no list"]
            found = _within(len(value), told, where)
            return found + [
                one for at, item in enumerate(value) for one in faults(item, told["member"], f"{where}[{at}]")
            ]
        case "map":
            if not isinstance(value, dict):
                return [f"{where}: no map"]
            found = _within(len(value), told, where)
            for key, item in value.items():
                found += faults(key, told["key"], f"{where} key")
                found += faults(item, told["value"], f"{where}.{key}")
            return found
        case "boolean":
            return [] if isinstance(value, bool) else [f"{where}: no boolean"]
        case "integer" | "long" | "float":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return [f"{where}: no number"]
            return _within(value, told, where)
        case _:
            return _of_string(value, told, where)


def _of_structure(value: Any, told: dict[str, Any], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: no object"]
    members = told.get("members", {})
    found = [f"{where}.{name}: unknown" for name in value if name not in members]
    found += [f"{where}.{name}: missing" for name in told.get("required", ()) if name not in value]
    if told.get("union") and len(value) != 1:
        found.append(f"{where}: {len(value)} members of a union")
    for name, item in value.items():
        if name in members:
            found += faults(item, members[name], f"{where}.{name}")
    return found


def _of_string(value: Any, told: dict[str, Any], where: str) -> list[str]:
    if not isinstance(value, str):
        return [f"{where}: no string"]
    if told["type"] == "string" and "enum" in told and value not in told["enum"]:
        return [f"{where}: {value!r} is none of {told['enum']}"]
    if "pattern" in told and not re.fullmatch(told["pattern"], value):
        return [f"{where}: {value!r} does not fit {told['pattern']}"]
    return _within(len(value), told, where)


def _within(size: float, told: dict[str, Any], where: str) -> list[str]:
    if size < told.get("min", size) or size > told.get("max", size):
        return [f"{where}: {size} is not from {told.get('min')} to {told.get('max')}"]
    return []
