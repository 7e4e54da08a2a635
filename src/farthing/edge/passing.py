"""The front door of all that is passed through (`dialects/passing`): images, audio, moderations, reranking.

Read is what decides here: the model, the texts that guardrails see, whether a stream is wanted. All else goes
up as it came, and so does the answer on its way back.
"""

from farthing.config import ServerConfig
from farthing.dialects.passing import form
from farthing.dialects.passing.operations import COMPLETIONS, Passing, texts_of, wants_events
from farthing.edge.http.body import read_object
from farthing.edge.openai import TEXT_CHARS_MAX, Asked, Reader
from farthing.errors import InvalidRequest
from farthing.types import Json, Request, Sent, replace

CONTENT_TYPE = b"content-type"
TYPE_CHARS_MAX = 200
READ = ("model", "stream", "stream_format", "user")
"""Fields of a form that are read here besides its texts. If one came twice, the provider might read the
other."""


def read(passing: Passing, reader: Reader, asked: Asked, limits: ServerConfig) -> Request:
    """Raises: as `Reader.chat`."""
    return _passed(passing, reader, asked, _sent(passing, asked, limits))


def completion(reader: Reader, body: Json, asked: Asked) -> Request:
    """A completion of before chat, `body`, for a provider that has them.

    Raises: as `read`.
    """
    sent = _made(COMPLETIONS, asked.raw, body, "application/json", None, is_form=False)
    return _passed(COMPLETIONS, reader, asked, replace(sent, dialect="completions"))


def _passed(passing: Passing, reader: Reader, asked: Asked, sent: Sent) -> Request:
    body = sent.body
    texts = list(texts_of(passing, body))
    said = body.get("model") if not asked.deployment else asked.deployment
    if said is not None and not isinstance(said, str):
        raise InvalidRequest("`model` must be a string", param="model")
    streams = passing.streamed == "always" or wants_events(passing, body)
    return reader.to_pass(
        passing,
        sent,
        asked,
        said=said,
        text="\n".join(texts)[:TEXT_CHARS_MAX],
        chars=sum(map(len, texts)),
        stream=streams,
    )


def _sent(passing: Passing, asked: Asked, limits: ServerConfig) -> Sent:
    """Raises:
    InvalidRequest: it is neither a JSON object nor, where that may be, a form.
    """
    raw, kind = asked.raw, asked.headers.get(CONTENT_TYPE, b"application/json")
    try:
        boundary = form.boundary_of(kind) if passing.forms else None
        if boundary is None:
            body = read_object(raw, depth_max=limits.depth_max, nodes_max=limits.nodes_max)
            return _made(passing, raw, body, "application/json", None, is_form=False)
        parts = form.parts_of(raw, boundary)
        fields: Json = dict(form.fields_of(raw, parts, {*passing.texts, *READ}))
        named = kind.decode("latin-1")
        if len(named) > TYPE_CHARS_MAX or not named.isprintable():
            raise form.BadForm("its content-type is too long, or not printable")
        return _made(passing, raw, fields, named, form.model_at(parts), is_form=True)
    except form.BadForm as why:
        raise InvalidRequest(f"the body is not a form that can be read: {why}") from None


def _made(
    passing: Passing, raw: bytes, body: Json, kind: str, model_at: tuple[int, int] | None, *, is_form: bool
) -> Sent:
    return Sent(
        dialect="chat",
        raw=raw,
        body=body,
        read={},
        operation=passing.operation,
        content_type=kind,
        is_form=is_form,
        model_at=model_at,
    )
