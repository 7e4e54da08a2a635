"""Requests of Responses: read into the pipeline's form, with what was sent beside it."""

from typing import Any, Literal

from msgspec import Struct

from farthing.config import AUTO
from farthing.dialects.chat.requests import request_writer
from farthing.dialects.responses import envelopes
from farthing.dialects.responses.requests import request_reader
from farthing.dialects.responses.requests.compaction import asks_to_compact, compacting
from farthing.edge.http.body import BOM
from farthing.edge.http.fields import convert
from farthing.edge.openai import SESSION, Asked, Reader
from farthing.types import Json, Request, Sent, replace

CLIENTS_SESSION = (b"session-id", b"session_id", b"conversation_id", b"thread-id")
"""Headers in which Codex names its session, in current and earlier versions."""
CLIENTS_AGENT = b"x-openai-subagent"


class _Compact(Struct):
    """The fields that are read here, so their type is checked; the reader of the dialect sees to the rest.
    None of them has to be there by what OpenAI publishes."""

    model: str | None = None
    input: str | list[Any] | None = None


class _Body(_Compact):
    stream: bool | None = None


def read(reader: Reader, body: Json, asked: Asked) -> Request:
    """Raises: as `Reader.chat`, by the names of Responses."""
    stream = bool(convert(body, _Body).stream)
    return _read(reader, body, asked, "item" if asks_to_compact(body) else "", stream=stream)


def read_compact(reader: Reader, body: Json, asked: Asked) -> Request:
    """A request of `/responses/compact`. Raises: as `read`."""
    convert(body, _Compact)
    return _read(reader, body, asked, "path", stream=False)


def _read(
    reader: Reader, body: Json, asked: Asked, compacts: Literal["", "item", "path"], *, stream: bool
) -> Request:
    conversation = request_reader.read(body)
    if compacts:
        conversation = compacting(conversation)
    chat = request_writer.inner(conversation)
    if body.get("model") is None:
        chat["model"] = AUTO
    if stream:
        chat["stream"] = True
    request = reader.chat(chat, asked)
    unsigned, sealed = _held(body.get("input"))
    sent = Sent(
        dialect="responses",
        raw=asked.raw.removeprefix(BOM),
        body=body,
        read=request.body,
        unsigned=unsigned,
        sealed=sealed,
        compacts=compacts,
    )
    headers = asked.headers
    session = request.session
    theirs = reader.header_word(next((headers[name] for name in CLIENTS_SESSION if name in headers), None))
    if session is None and SESSION not in headers:
        session = theirs
    agent = reader.header_word(headers.get(CLIENTS_AGENT)) or ""
    found: Request = replace(request, sent=sent, session=session, agent=agent, include_usage=stream)
    return found


def _held(items: Any) -> tuple[bool, bool]:
    """Whether `input` has encrypted content that this gateway made, and any that a provider made."""
    ours = theirs = False
    for item in items if items.__class__ is list else ():
        held = item.get("encrypted_content") if item.__class__ is dict else None
        if held.__class__ is str and held:
            if envelopes.is_ours(held):
                ours = True
            else:
                theirs = True
    return ours, theirs
