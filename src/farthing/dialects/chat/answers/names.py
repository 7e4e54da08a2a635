"""What an answer says it was made by: its `model` and its `system_fingerprint`."""

import msgspec
from msgspec import Struct

from farthing.text.lenient_json import any_json

NAME_CHARS_MAX = 128


class _Names(Struct):
    model: str | None = None
    system_fingerprint: str | None = None


_decode = msgspec.json.Decoder(_Names).decode


def shown_name(name: str | None) -> str:
    """`name`, cut to `NAME_CHARS_MAX`, with `?` for what cannot be printed; empty where there is none."""
    if not name:
        return ""
    if len(name) <= NAME_CHARS_MAX and name.isprintable():
        return name
    return "".join(c if c.isprintable() else "?" for c in name[:NAME_CHARS_MAX])


def names_in(event: bytes | None) -> tuple[str, str]:
    """Model and fingerprint that the first event of a streamed answer names; empty where it names none."""
    if event is None:
        return "", ""
    try:
        found = _decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _loosely(event)
    return shown_name(found.model), shown_name(found.system_fingerprint)


def _loosely(event: bytes) -> tuple[str, str]:
    value = any_json(event)
    if not isinstance(value, dict):
        return "", ""
    model, fingerprint = value.get("model"), value.get("system_fingerprint")
    return (
        shown_name(model if isinstance(model, str) else None),
        shown_name(fingerprint if isinstance(fingerprint, str) else None),
    )
