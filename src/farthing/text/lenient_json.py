"""JSON from providers: read like the official SDKs read it, written so that every parser can read it.

The normal parser is strict and fast, and rejects three things that occur in practice and that Python's own
accepts: NaN and infinities (log-probabilities), a lone surrogate of an emoji, a byte order mark. What the
strict parser rejects is given to the lenient one, so that a paid answer is not lost.
"""

import json
from typing import Any

import msgspec
from msgspec import Raw

BOM = b"\xef\xbb\xbf"
NULL = Raw(b"null")
"""The value for an absent field in a typed shape; a null that is present is another object."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class NotJson(ValueError):
    """The bytes are not JSON, not even for the lenient parser."""


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
    """The value in `raw`; None if there is none, or if it is JSON's null. Never raises."""
    try:
        return read_json(bytes(raw))
    except NotJson:
        return None


def _read_loosely(raw: bytes) -> Any:
    try:
        return json.loads(bytes(raw).decode("utf-8-sig"), strict=False)  # a `Raw` has no `decode`
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None


def write_json(value: Any) -> bytes:
    """`value` as JSON: NaN and infinities become null, surrogate pairs are joined, and a lone surrogate
    becomes U+FFFD."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return _encode(_joined(value))


def _joined(value: Any) -> Any:
    """`value` with surrogates in its strings repaired, at any depth."""
    whole: list[Any] = [None]
    left: list[tuple[Any, Any, Any]] = [(whole, 0, value)]
    while left:
        into, place, value = left.pop()
        if isinstance(value, str):
            into[place] = repaired(value)
        elif isinstance(value, dict):
            into[place] = fields = dict.fromkeys(map(repaired, value))
            left += [(fields, repaired(name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            into[place] = items = [None] * len(value)
            left += [(items, index, inner) for index, inner in enumerate(value)]
        else:
            into[place] = value
    return whole[0]


def repaired(text: str) -> str:
    """`text` with the halves of characters joined; one that stands alone becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
