"""The files of OpenAI's Batch API: questions on the way up, answers on the way back. No I/O.

One question or answer a line, known by its `custom_id`. What comes back is read as the word of a stranger:
lines may be broken, doubled, of another batch, or missing.
"""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from farthing.dialects.chat.usage import UsageForm, read_usage
from farthing.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from farthing.protocols import Outcome, Provider
from farthing.text.lenient_json import NULL
from farthing.types import Usage

ENDPOINT = "/v1/chat/completions"
LINE_BYTES_MAX = 4_194_304  # a longer one is no answer of ours, and would hold the loop
OK = 200

_encode = msgspec.json.Encoder().encode


class _Response(Struct):
    status_code: int = OK
    body: Raw = NULL


class _Failure(Struct):
    code: str | int | None = None
    message: str | None = None


class _Line(Struct):
    custom_id: str
    response: _Response | None = None
    error: _Failure | None = None


class _Used(Struct):
    usage: Raw = NULL
    service_tier: Raw = NULL


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_used = msgspec.json.Decoder(_Used).decode


def question_line(custom_id: str, body: bytes) -> bytes:
    """One question; `body` is the JSON of a whole request for a chat completion."""
    line: dict[str, Any] = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": Raw(body)}
    return _encode(line) + b"\n"


def upload_form(content: bytes, name: str, boundary: str) -> tuple[str, bytes]:
    """Content type and body that upload `content`. `boundary` must not be in it: draw it by chance."""
    head = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
        "content-type: application/jsonl\r\n\r\n"
    ).encode("ascii")
    return f"multipart/form-data; boundary={boundary}", b"%b%b\r\n--%b--\r\n" % (
        head,
        content,
        boundary.encode(),
    )


def outcomes(
    content: bytes, ids: Collection[str], provider: Provider, form: UsageForm
) -> Iterator[tuple[str, Outcome] | None]:
    """What the lines of a result file say of the questions `ids`, in the order of the file.

    One item a line, None for a line that says nothing of them, so that a reader may pause in between.
    """
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        yield _outcome(content[start:end], ids, provider, form) if end - start <= LINE_BYTES_MAX else None
        start = end + 1


def _outcome(
    raw: bytes, ids: Collection[str], provider: Provider, form: UsageForm
) -> tuple[str, Outcome] | None:
    try:
        line = _decode_line(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if line.custom_id not in ids:
        return None
    response = line.response
    if response is None:
        return line.custom_id, Outcome(error=_failed(line.error, provider))
    body = bytes(response.body)
    if response.status_code != OK:
        error = provider.failure(response.status_code, {}, body)
        return line.custom_id, Outcome(error=error, status=response.status_code, usage=_usage(body, form))
    try:
        reply = provider.whole({}, body)
    except ProviderError as error:
        return line.custom_id, Outcome(error=error, status=OK, usage=_usage(body, form))
    return line.custom_id, Outcome(reply=reply, status=OK, usage=reply.usage)


def _failed(error: _Failure | None, provider: Provider) -> ProviderError:
    code = "" if error is None or error.code is None else str(error.code)[:100]
    if code == "batch_expired":
        return ProviderTimeout("the batch expired before this question was answered")
    message = "" if error is None else error.message or ""
    said = provider.in_answer(msgspec.json.encode({"error": {"message": message or code, "code": code}}))
    what = "" if said.words else ": it does not say why"
    return ProviderUnavailable(f"the batch has no answer to this question{what}", words=said.words)


def _usage(body: bytes, form: UsageForm) -> Usage | None:
    try:
        used = _decode_used(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return read_usage(used.usage, form, service_tier=None if used.service_tier is NULL else used.service_tier)
