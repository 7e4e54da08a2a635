"""Reads a JSON body once and checks it before it is used: size, depth, nodes, duplicate keys."""

import json
import re
from typing import Any

import msgspec

from farthing.errors import InvalidRequest
from farthing.types import Json

BOM = b"\xef\xbb\xbf"
LARGE_BYTES = 1_048_576
QUICK_BYTES = 32_768  # of values at two bytes each: so few of them that nobody has to wait for the parser
QUICK_VALUES = 16_384
CONTAINERS = frozenset({dict, list})
HALF_PAIR = re.compile(  # a high surrogate without a low one, or the other way round; not after a backslash
    rb"(?<!\\)(?:\\\\)*(?:(\\u[dD][89abAB][0-9a-fA-F]{2})(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB]..)(\\u[dD][c-fC-F][0-9a-fA-F]{2}))"
)

PLACE = re.compile(r"\(byte (\d+)\)")
NEAR_BYTES = 1_024  # of where a parser stopped
HIDDEN_END = re.compile(rb"\\u00(?:22|20|3[aA])")  # a part of `": `, escaped

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def takes_long(raw: bytes) -> bool:
    """Whether reading it may take milliseconds, because it has many bytes or many values."""
    return len(raw) > LARGE_BYTES or _values_at_most(raw) > QUICK_VALUES


def read_object(raw: bytes, *, depth_max: int, nodes_max: int) -> Json:
    """The JSON object in `raw`.

    Raises:
        InvalidRequest: not JSON, not an object, too deep, too many values, or a key that is there twice.
    """
    if not raw:
        raise InvalidRequest("the body is empty: send a JSON object")
    outline = b""
    if len(raw) > LARGE_BYTES or (len(raw) > 2 * nodes_max and _values_at_most(raw) > nodes_max):
        outline = _outline(raw, nodes_max)  # a value takes two bytes at least
    try:
        body = _decode(raw)
    except msgspec.DecodeError as error:
        if raw.startswith(BOM):
            return read_object(raw[len(BOM) :], depth_max=depth_max, nodes_max=nodes_max)
        raise InvalidRequest(f"the body is not valid JSON: {_why_not_json(raw, error)}") from None
    except RecursionError:
        raise _too_deep(depth_max) from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"the body is not UTF-8: {_why_not_utf8(raw)}") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    if outline:
        if outline.count(b":") != _count_keys(body, depth_max):
            _refuse_duplicates(raw)
        return body
    keys = _plain_keys(body)
    if keys < 0 and _openers(raw, depth_max) > depth_max:  # fewer are not deep
        _count_keys(body, depth_max)
    if not _has_colons(raw, abs(keys)) and not _has_key_ends(raw, abs(keys), body):
        _refuse_duplicates(raw)
    return body


def _too_deep(depth_max: int) -> InvalidRequest:
    return InvalidRequest(
        f"the body is nested more than {depth_max} levels deep: flatten it, or raise server.depth_max"
    )


def _why_not_json(raw: bytes, error: msgspec.DecodeError) -> str:
    half = _half_pair(raw, str(error))
    if half is not None:
        which = half.lastindex or 0
        return (
            f"half of a surrogate pair ({half[which].decode()} at byte {half.start(which)}): a text was cut "
            "in the middle of a character, send whole ones"
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in raw[:2]:
        return "it is UTF-16 or UTF-32: send UTF-8"
    return str(error)


def _half_pair(raw: bytes, said: str) -> re.Match[bytes] | None:
    """The lone surrogate that made the parser fail. It is near the position in the message, or near the end
    of a text that is too short for its second half. Searching a large body from the start would block the
    loop for seconds."""
    if "surrogate" in said:
        place = PLACE.search(said)
        end = len(raw) if place is None else int(place[1])
    elif "truncated" in said:
        end = len(raw)
    else:
        return None
    return HALF_PAIR.search(raw, max(0, end - NEAR_BYTES), end + NEAR_BYTES)


def _why_not_utf8(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        if raw[error.start] == 0xED:
            return f"half of a surrogate pair at byte {error.start}: send whole characters"
        return f"{error.reason} at byte {error.start}"
    return "a text in it is not"


def _outline(raw: bytes, nodes_max: int) -> bytes:
    """A JSON text with its strings emptied: what it is made of, and no string can pretend to be a part of it.

    Its values are counted before they are parsed, since parsing too many would already take too long. A
    number, a boolean or null in a list counts a fifth: it takes no more memory, time and work of the garbage
    collector than that, beside a list, an object or a string. Token ids for embeddings come as such lists,
    up to 300,000 in one request.

    Raises:
        InvalidRequest: there are more than `nodes_max` values.
    """
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    pieces = raw.split(b'"', 4 * nodes_max + 2)  # a string takes two, and half of all strings may be keys
    strings = len(pieces) // 2
    outline = b'""'.join(pieces[::2])
    empty = outline.count(b"[]") + outline.count(b"{}")
    commas = outline.count(b",")
    values = commas + outline.count(b"[") + outline.count(b"{") - empty
    flat = max(0, commas + 1 - strings - empty)  # those in lists that are no string, list or object, or fewer
    if strings > 2 * nodes_max or values - flat + flat // 5 > nodes_max:
        raise InvalidRequest(
            f"the body has more than {nodes_max} values, where a number in a list counts a fifth: send less "
            "at once, or raise server.nodes_max"
        )
    return outline


def _values_at_most(raw: bytes) -> int:
    """An upper bound of the values in a JSON text: each is the first of its list or object, or follows a
    comma."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


def _openers(raw: bytes, most: int) -> int:
    """The number of braces and brackets in a JSON text, including those in strings; stops counting above
    `most`."""
    # splitting looks for the next one at a multiple of the speed at which `count` looks at each byte
    return len(raw.split(b"{", most + 1)) + len(raw.split(b"[", most + 1)) - 2


def _has_colons(raw: bytes, count: int) -> bool:
    """Whether a JSON text has exactly so many colons. Each key takes one, so it then has no more keys."""
    return len(raw.split(b":", count + 1)) == count + 1


def _has_key_ends(raw: bytes, keys: int, body: Json) -> bool:
    """Whether the ends of keys are as many as `keys`, or as many as in `body` when it is written anew. The
    second says nothing if a string contains an escaped end of a key, which only the rewritten text shows."""
    ends = _key_ends(raw)
    if ends == keys:
        return True
    return ends == _key_ends(_encode(body)) and not (b"\\u00" in raw and HIDDEN_END.search(raw))


def _key_ends(raw: bytes) -> int:
    """The number of keys in a JSON text, plus what looks like one inside its strings, however spaced."""
    return raw.translate(None, b" \t\r\n").count(b'":')


def _count_keys(body: Json, depth_max: int) -> int:
    """The keys in all objects of `body`.

    Raises:
        InvalidRequest: it is deeper than `depth_max`.
    """
    level: list[Any] = [body]
    keys = 0
    for _ in range(depth_max):
        below: list[Any] = []
        for value in level:
            inner = value
            if value.__class__ is dict:
                keys += len(value)
                inner = value.values()
            if not CONTAINERS.isdisjoint(map(type, inner)):  # long flat lists are looked through at once
                below += [item for item in inner if item.__class__ is dict or item.__class__ is list]
        if not below:
            return keys
        level = below
    raise _too_deep(depth_max)


def _plain_keys(body: Json) -> int:
    """The number of keys in a body of the usual shape: messages of two strings, and flat settings. For any
    other shape a negative number, whose amount is an estimate; such a body is examined more closely."""
    keys = len(body)
    plain = 1
    messages = body.get("messages")
    for value in body.values():
        kind = value.__class__
        if kind is list and value is messages:
            for message in messages:
                if message.__class__ is not dict:
                    plain = -1
                    continue
                keys += len(message)
                content, role = message.get("content"), message.get("role")
                if len(message) != 2 or content.__class__ is not str or role.__class__ is not str:
                    plain = -1
        elif kind is dict or kind is list:
            plain = -1
            keys += len(value) if kind is dict else 0
    return plain * keys


def _refuse_duplicates(raw: bytes) -> None:
    """Every fast parser keeps the last of two equal keys; a client that sends two means neither.

    Raises:
        InvalidRequest: names the key.
    """

    def pairs(items: list[tuple[str, Any]]) -> Json:
        found: Json = {}
        for key, value in items:
            if key in found:
                raise InvalidRequest(f"the key `{key[:100]}` is there twice: keep one", param=key[:100])
            found[key] = value
        return found

    try:
        json.loads(raw, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return  # the strict parser has accepted it; the looser one need not understand it
