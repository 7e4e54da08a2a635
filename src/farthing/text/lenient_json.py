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
        return json.loads(bytes(raw).decode("utf-8-sig"), strict=False)  # a `Raw` has no `decode`
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
    """`value` with only whole characters in its strings, however deep they lie."""
    whole: list[Any] = [None]
    left: list[tuple[Any, Any, Any]] = [(whole, 0, value)]
    while left:
        into, place, value = left.pop()
        if isinstance(value, str):
            into[place] = _text(value)
        elif isinstance(value, dict):
            into[place] = fields = dict.fromkeys(map(_text, value))
            left += [(fields, _text(name), inner) for name, inner in value.items()]
        elif isinstance(value, list):
            into[place] = items = [None] * len(value)
            left += [(items, index, inner) for index, inner in enumerate(value)]
        else:
            into[place] = value
    return whole[0]


def _text(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
