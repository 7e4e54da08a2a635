"""The items of a conversation in Responses, as they are stored, continued and listed. Pure functions."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw

from farthing.dialects.responses.ids import PREFIXES
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Json

ENCRYPTED = "encrypted_content"
_MARK = ENCRYPTED.encode()
INCLUDE_ENCRYPTED = "reasoning.encrypted_content"

_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def items_of(given: Any) -> list[Any]:
    """The items of an `input`: a text is one message."""
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return given if isinstance(given, list) else []


def joined(*parts: bytes) -> Raw:
    """The items of several JSON lists in one list."""
    return Raw(b"[%b]" % b",".join(inner for inner in map(_inner, parts) if inner))


def _inner(part: bytes) -> bytes:
    return part.strip()[1:-1].strip()


def output_of(response: bytes) -> bytes:
    """The output items of a response object, a JSON list."""
    found = bytes(_decode_object(response).get("output", b"[]"))
    return found if found.startswith(b"[") else b"[]"


def changed(response: bytes, changes: Json, *, shows_encrypted: bool) -> bytes:
    """A response object with other values under some names and, if wanted, without what is encrypted in its
    reasoning; all else as it was, byte for byte.

    Raises:
        ValueError: it is no JSON object that a strict parser reads.
    """
    fields: dict[str, object] = {**_decode_object(response)}
    output = fields.get("output")
    if not shows_encrypted and output is not None and _MARK in bytes(output):  # type: ignore[call-overload]
        items = _decode_list(bytes(output))  # type: ignore[call-overload]
        fields["output"] = [Raw(without_encrypted(bytes(item))) for item in items]
    return write_json({**fields, **changes})


def without_encrypted(item: bytes) -> bytes:
    """An item, if it is reasoning, without what is encrypted in it."""
    if _MARK not in item or not item.lstrip().startswith(b"{"):
        return item
    fields = _decode_object(item)
    if ENCRYPTED not in fields or bytes(fields.get("type", b"")) != b'"reasoning"':
        return item
    del fields[ENCRYPTED]
    return write_json(fields)


def listed(items: bytes, *, shows_encrypted: bool) -> list[Json]:
    """Input items as `input_items` tells them, the first one first.

    A client may leave out the id and the type of an item, and say its content as a text. The id that it gets
    here goes by its place and its words, so that it is the same in each response of a conversation.
    """
    return [_listed(bytes(raw), place, shows_encrypted) for place, raw in enumerate(_decode_list(items))]


def _listed(raw: bytes, place: int, shows_encrypted: bool) -> Json:
    item = any_json(raw if shows_encrypted else without_encrypted(raw))
    if not isinstance(item, dict):
        item = {"type": "unknown", "value": item}
    kind = item.get("type") or "message"
    told: Json = {"id": item.get("id") or _made_id(kind, raw, place), **item, "type": kind}
    told["id"] = told["id"] or _made_id(kind, raw, place)
    if kind == "message":
        told["status"] = item.get("status") or "completed"
        content = item.get("content")
        if isinstance(content, str):
            assistants = item.get("role") == "assistant"
            text: Json = {"type": "output_text" if assistants else "input_text", "text": content}
            told["content"] = [{**text, "annotations": []} if assistants else text]
    return told


def _made_id(kind: Any, raw: bytes, place: int) -> str:
    digest = blake2b(raw, digest_size=20, salt=place.to_bytes(16, "big")).hexdigest()
    return f"{PREFIXES.get(kind, 'item_') if isinstance(kind, str) else 'item_'}{digest}"


def page(items: Sequence[Json], *, after: str, limit: int, newest_first: bool) -> Json | None:
    """One page of a list, as OpenAI's SDKs read it; None: there is no item `after`."""
    ordered = list(reversed(items)) if newest_first else list(items)
    start = 0
    if after:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        if not places:
            return None
        start = places[0] + 1
    shown = ordered[start : start + limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": start + limit < len(ordered),
    }
