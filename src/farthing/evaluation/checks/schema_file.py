"""Reads the operator's JSON Schema files."""

from pathlib import Path

import msgspec

from farthing.errors import ConfigError

SCHEMA_BYTES_MAX = 1_048_576


def read_schema(path: Path) -> object:
    """A JSON Schema from a file.

    Raises:
        ConfigError: it cannot be read, or is not a JSON Schema.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > SCHEMA_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {SCHEMA_BYTES_MAX} bytes")
    try:
        schema: object = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: not JSON: {error}") from error
    if not isinstance(schema, dict | bool):
        raise ConfigError(f"{path}: a JSON Schema is an object")
    return schema
