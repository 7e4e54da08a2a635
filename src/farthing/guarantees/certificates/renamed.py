"""Reads a promise's bound under its name of the last release, and writes it under both names, for one
release, so that files and scripts of either version work with the other."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

OLD = {"risk_max": "epsilon", "segment_risk_max": "segment_limit"}
"""New name to old one."""

_OF_A_CERTIFICATE = "delta"  # occurs beside either name, and nowhere else

Kind = TypeVar("Kind")


def decode(data: bytes, kind: type[Kind]) -> Kind:
    """Decode JSON `data` that contains certificates with either name.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError: `data` is not a `kind`, or two names of a bound
            disagree.
    """
    return msgspec.convert(_renewed(msgspec.json.decode(data)), type=kind)


def encode(value: object, names: Mapping[str, str] = OLD) -> bytes:
    """`value` as JSON, with every field of `names` (new to old) under both names."""
    return msgspec.json.encode(_under_both(msgspec.to_builtins(value), names))


def _renewed(value: Any) -> Any:
    if isinstance(value, list):
        return [_renewed(item) for item in value]
    if not isinstance(value, dict):
        return value
    table = {key: _renewed(item) for key, item in value.items()}
    if _OF_A_CERTIFICATE in table:
        for new, old in OLD.items():
            if old in table and table.setdefault(new, table[old]) != table.pop(old):
                raise msgspec.ValidationError(f"`{new}` and `{old}`, its old name, disagree")
    return table


def _under_both(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, list | tuple):
        return [_under_both(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    table = {key: _under_both(item, names) for key, item in value.items()}
    return table | {old: table[new] for new, old in names.items() if new in table}
