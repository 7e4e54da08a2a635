"""Farthing's own wire forms: `/llm-inference` and `/v1/ask`. Both become OpenAI's form and come back.

`POST /llm-inference`  {"model_tier", "prompt", "max_tokens", "temperature", "stream"}
`POST /v1/ask`         {"user_id", "text", "task_type", "metadata": {"tenant", "language", "flags", ...}}
"""

import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from farthing.config import ENDPOINT_PREFIX
from farthing.edge.auth import named_tenant
from farthing.edge.http.fields import convert
from farthing.edge.openai import Asked, Number, Reader
from farthing.edge.through import ThroughSink
from farthing.errors import InvalidRequest
from farthing.models.answers import money_of
from farthing.protocols import Sink
from farthing.text.lenient_json import NotJson, read_json, write_json
from farthing.types import OUTPUT_TOKENS_MAX, Answer, Json, Receipt, Request, replace

Tokens = Annotated[int, Meta(ge=1, le=OUTPUT_TOKENS_MAX)]
Text = Annotated[str, Meta(min_length=1)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]

TEXT_PARTS = ("text", "output_text")

_encode = msgspec.json.Encoder().encode


class _Delta(Struct):
    content: str | list[Any] | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: Any = None
    index: Any = 0


class _Chunk(Struct):
    choices: list[_Choice] | None = None
    usage: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class _Inference(Struct, forbid_unknown_fields=True):
    prompt: Text
    model_tier: Name | None = None
    max_tokens: Tokens | None = None
    temperature: Number | None = None
    stream: bool | None = None


class _Flags(Struct):
    stream: bool | None = None
    retrieval: bool | None = None
    context_tokens: Annotated[int, Meta(ge=0)] | None = None


class _Metadata(Struct):
    tenant: Name | None = None
    language: Name | None = None
    endpoint: Name | None = None
    session: Name | None = None
    documents: list[Name] | None = None
    flags: _Flags | list[str] | None = None


class _Ask(Struct, forbid_unknown_fields=True):
    text: Text
    user_id: Text | None = None
    task_type: Name | None = None
    metadata: _Metadata | None = None
    max_tokens: Tokens | None = None


def read_inference(reader: Reader, body: Json, asked: Asked) -> Request:
    """Raises:
    InvalidRequest: names the field.
    """
    read = convert(body, _Inference)
    chat: Json = {"model": "auto", "messages": [{"role": "user", "content": read.prompt}]}
    if read.max_tokens is not None:
        chat["max_tokens"] = read.max_tokens
    if read.temperature is not None:
        chat["temperature"] = read.temperature
    if read.stream:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    return reader.chat(chat, asked, reader.as_written(read.model_tier))


def read_ask(reader: Reader, body: Json, asked: Asked) -> Request:
    """Raises:
    InvalidRequest: names the field. Forbidden: `metadata.tenant` is not the key's.
    """
    read = convert(body, _Ask)
    metadata = read.metadata or _Metadata()
    flags = metadata.flags or _Flags()
    if isinstance(flags, list):
        unknown = set(flags) - {"stream", "retrieval"}
        if unknown:
            raise InvalidRequest(
                f"metadata.flags: `{min(unknown)[:100]}` is not known; known: stream, retrieval",
                param="metadata.flags",
            )
        flags = _Flags(stream="stream" in flags, retrieval="retrieval" in flags)
    model = "auto"
    if metadata.endpoint is not None:
        named = reader.endpoint_for(
            reader.endpoint_named(metadata.endpoint), asked.tenant, "metadata.endpoint"
        )
        model = ENDPOINT_PREFIX + named.name
    chat: Json = {"model": model, "messages": [{"role": "user", "content": read.text}]}
    if read.max_tokens is not None:
        chat["max_tokens"] = read.max_tokens
    if flags.stream:
        chat |= {"stream": True, "stream_options": {"include_usage": True}}
    if read.user_id is not None:
        chat["user"] = reader.digest_user(read.user_id)
    written = reader.as_written
    asked = replace(asked, tenant=named_tenant(asked.tenant, written(metadata.tenant)))
    request = reader.chat(chat, asked)
    return replace(  # type: ignore[no-any-return]
        request,
        task_type=written(read.task_type) or request.task_type,
        language=written(metadata.language),
        session=written(metadata.session) or request.session,
        retrieval=bool(flags.retrieval),
        context_tokens=flags.context_tokens or 0,
        documents=request.documents if metadata.documents is None else reader.documents(metadata.documents),
    )


def write_whole(answer: Answer, receipt: Receipt) -> bytes:
    """A whole answer in Farthing's form."""
    whole = read_json(answer.body)
    choice: Json = (whole.get("choices") or ({},))[0]
    text = _text((choice.get("message") or {}).get("content"))
    return write_json({"text": text, **_facts(whole, choice, receipt)})


def _text(content: Any) -> str:
    """The text of a message, whose content may come in parts; thoughts and images among them are left out."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (
        (part.get("text") if part.get("type", "text") in TEXT_PARTS else None)
        if isinstance(part, dict)
        else part
        for part in content
    )
    return "".join(part for part in parts if isinstance(part, str))


def _facts(whole: Json, choice: Json, receipt: Receipt) -> Json:
    return {
        "request_id": receipt.request_id,
        "model_tier": receipt.tier,
        "model": receipt.target or whole.get("model", ""),
        "cache": receipt.cache,
        "task_type": receipt.task_type,
        "reason": receipt.route_reason,
        "finish_reason": choice.get("finish_reason"),
        "usage": whole.get("usage"),
        **money_of(receipt),
    }


class TextSink(ThroughSink):
    """Takes the events of a chat stream and sends on their text: `data: {"text": "..."}`."""

    __slots__ = ("_finish_reason", "_receipt", "_usage")

    def __init__(self, sink: Sink, receipt: Receipt) -> None:
        super().__init__(sink)
        self._receipt = receipt
        self._finish_reason: str | None = None
        self._usage: Any = None

    def send(self, events: bytes) -> None:
        out = self._texts(events)
        if out:
            self._sink.send(out)

    def closing(self, reply: Answer) -> Answer:
        return reply

    def last(self, answer: Answer) -> Answer:
        """A whole answer; or the last events: what text is left, then the facts, then `[DONE]`."""
        if not answer.stream:
            return Answer(body=write_whole(answer, self._receipt))
        texts = self._texts(answer.body)
        facts = _facts({"usage": self._usage}, {"finish_reason": self._finish_reason}, self._receipt)
        body = b"%bdata: %b\n\ndata: [DONE]\n\n" % (texts, write_json({"done": True, **facts}))
        return Answer(body=body, stream=True)

    def _texts(self, events: bytes) -> bytes:
        out = []
        for event in events.split(b"\n\n"):
            payload = b"".join(line[5:] for line in event.split(b"\n") if line.startswith(b"data:"))
            chunk = _chunk(payload)
            if chunk is None:
                continue
            self._usage = chunk.usage or self._usage
            for choice in chunk.choices or ():
                self._finish_reason = choice.finish_reason or self._finish_reason
                text = "" if choice.delta is None else _text(choice.delta.content)
                if text and (choice.index == 0 or not isinstance(choice.index, int)):
                    out.append(b"data: %b\n\n" % _as_it_came({"text": text}))
        return b"".join(out)


def _chunk(payload: bytes) -> _Chunk | None:
    """The parsed chunk, however oddly it is written; None for a comment or `[DONE]`."""
    try:
        return _decode_chunk(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        value = read_json(payload)
    except NotJson:
        return None
    if not isinstance(value, dict):
        return None
    choices = value.get("choices")
    found = []
    for one in choices if isinstance(choices, list) else ():
        if isinstance(one, dict):
            delta = one.get("delta")
            content = delta.get("content") if isinstance(delta, dict) else None
            found.append(_Choice(_Delta(content), one.get("finish_reason"), one.get("index", 0)))
    return _Chunk(found, value.get("usage"))


def _as_it_came(value: Json) -> bytes:
    """JSON in which half of a character is kept, since its other half may be in the next chunk."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()
