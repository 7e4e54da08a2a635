"""A JSON body, read once and checked before anything looks into it: size, depth, nodes, duplicate keys."""

import json
from typing import Any

import msgspec

from farthing.errors import InvalidRequest
from farthing.types import Json

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def read_object(raw: bytes, *, depth_max: int, nodes_max: int) -> Json:
    """The JSON object in `raw`.

    Raises:
        InvalidRequest: not JSON, not an object, too deep, too many values, or a key that is there twice.
    """
    if not raw:
        raise InvalidRequest("the body is empty: send a JSON object")
    many = len(raw) > 2 * nodes_max and raw.count(b",") >= nodes_max  # a value takes two bytes at least
    if many and raw.count(b",") > nodes_max * 4:  # text has commas too, so only a multiple is beyond doubt
        raise InvalidRequest(f"the body has more than {nodes_max} values: send less at once")
    try:
        body = _decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest(f"the body is nested more than {depth_max} levels deep: flatten it") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    keys = _plain_keys(body)
    if many or (keys < 0 and _openers(raw, depth_max) > depth_max):  # fewer are not deep
        _check_shape(body, depth_max, nodes_max)
    if _colons(raw) != abs(keys) and _colons(raw) != _colons(_encode(body)):
        _refuse_duplicates(raw)
    return body


def _openers(raw: bytes, most: int) -> int:
    """The braces and brackets in a JSON text, in its strings too; of more than `most`, more than `most`."""
    # splitting looks for the next one at a multiple of the speed at which `count` looks at each byte
    return len(raw.split(b"{", most + 1)) + len(raw.split(b"[", most + 1)) - 2


def _colons(raw: bytes) -> int:
    """The keys in a JSON text, and what looks like one inside its strings, however they are spaced."""
    if b" :" in raw or b"\n:" in raw or b"\t" in raw or b"\r" in raw:  # hardly anyone writes so
        raw = raw.translate(None, b" \t\r\n")
    return raw.count(b'":')


def _check_shape(body: Json, depth_max: int, nodes_max: int) -> None:
    """Raises:
    InvalidRequest: deeper than `depth_max`, or more values than `nodes_max`.
    """
    level: list[Any] = [body]
    nodes = 0
    for _ in range(depth_max):
        below: list[Any] = []
        for value in level:
            inner = value.values() if value.__class__ is dict else value
            nodes += len(inner)
            below += [item for item in inner if item.__class__ is dict or item.__class__ is list]
        if nodes > nodes_max:
            raise InvalidRequest(f"the body has more than {nodes_max} values: send less at once")
        if not below:
            return
        level = below
    raise InvalidRequest(f"the body is nested more than {depth_max} levels deep: flatten it")


def _plain_keys(body: Json) -> int:
    """The keys of a body of the usual shape: messages of two strings and settings without parts of their own.
    Of any other shape something below zero, whose amount is a guess: it is looked at more closely."""
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
