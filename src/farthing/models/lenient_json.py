"""JSON as providers write it: read as the official SDKs read it, written as every parser reads it.

Our parser is strict and fast, and refuses three things that come over the wire and that Python's own reads:
NaN and infinities (log-probabilities), half of an emoji's two surrogates, a byte order mark. So what the
strict parser refuses is given to the lenient one; an answer that was paid for is not lost for that.
"""

import json
from typing import Any

import msgspec
from msgspec import Raw

BOM = b"\xef\xbb\xbf"
NULL = Raw(b"null")
"""What stands in a typed shape for a field that is not there; a null that is there is another object."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class NotJson(ValueError):
    """What came is not JSON, however it is read."""


def read_json(raw: bytes) -> Any:
    """The value in `raw`.

    Raises:
        NotJson: there is none.
    """
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_loosely(raw)


def any_json(raw: bytes | Raw) -> Any:
    """The value in `raw`; None when there is none, which JSON's own null is too. Never raises."""
    try:
        return read_json(bytes(raw))
    except NotJson:
        return None


def _read_loosely(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8-sig"), strict=False)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None


def write_json(value: Any) -> bytes:
    """`value` as JSON: NaN and infinities are null, two halves of one character are joined, and half of one
    is U+FFFD."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_joined(value))


def _joined(value: Any) -> Any:
    """`value` with only whole characters in its strings."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_joined(name): _joined(inner) for name, inner in value.items()}
    return [_joined(item) for item in value] if isinstance(value, list) else value
