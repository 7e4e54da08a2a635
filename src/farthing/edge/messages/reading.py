"""Requests of Messages: read into the pipeline's form, with what was sent beside it."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from farthing.dialects.chat.requests import request_writer
from farthing.dialects.conversation import Conversation, Reasoning, Text
from farthing.dialects.messages.citations import has_unsigned
from farthing.dialects.messages.requests import request_reader
from farthing.dialects.proofs import is_signed
from farthing.edge.http.body import BOM
from farthing.edge.http.fields import convert
from farthing.edge.openai import SESSION, Asked, Reader
from farthing.types import Json, Request, Sent, replace

BETA = b"beta=true"
BETAS = "anthropic-beta"
CLIENTS_SESSION = b"x-claude-code-session-id"
CLIENTS_AGENT = b"x-claude-code-agent-id"


class _Counted(Struct):
    """The fields that are read here, so that their types are checked; the reader of the dialect reads the
    rest."""

    model: str
    messages: list[Any]


class _Body(_Counted):
    max_tokens: Annotated[int, Meta(ge=0)]
    stream: bool | None = None


def read(reader: Reader, body: Json, asked: Asked) -> Request:
    """Raises: as `Reader.chat`, by the names of Messages."""
    stream = bool(convert(body, _Body).stream)
    return _read(reader, body, asked, stream=stream)


def read_counted(reader: Reader, body: Json, asked: Asked) -> Request:
    """A request whose tokens are to be counted: it has no limit of output.

    Raises: as `read`.
    """
    convert(body, _Counted)
    return _read(reader, body, asked, stream=False)


def _read(reader: Reader, body: Json, asked: Asked, *, stream: bool) -> Request:
    conversation = request_reader.read(body)
    chat = request_writer.inner(conversation)
    if stream:
        chat["stream"] = True
    request = reader.chat(chat, asked)
    headers = asked.headers
    session, theirs = request.session, reader.header_word(headers.get(CLIENTS_SESSION))
    if session is None and SESSION not in headers:
        session = theirs
    sent = Sent(
        dialect="messages",
        raw=asked.raw.removeprefix(BOM),
        body=body,
        read=request.body,
        beta=BETA in asked.query.split(b"&"),
        betas=next((value for name, value in request.passed if name == BETAS), ""),
        unsigned=_has_unsigned(conversation),
    )
    agent = reader.header_word(headers.get(CLIENTS_AGENT)) or ""
    found: Request = replace(request, sent=sent, session=session, agent=agent, include_usage=stream)
    return found


def _has_unsigned(conversation: Conversation) -> bool:
    """Whether it has thinking or citations that were not signed by a model that speaks Messages."""
    for turn in conversation.turns:
        if turn.role == "assistant":
            for block in turn.blocks:
                if block.__class__ is Reasoning and not (is_signed(block.signature) or block.redacted):
                    return True
                if block.__class__ is Text and block.citations and has_unsigned(block.citations):
                    return True
    return False
