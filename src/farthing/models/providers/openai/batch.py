"""OpenAI's Batch API through the gateway's own transport: the provider's connections, TLS, key and caps.

    upload a file of questions -> create a batch of it -> ask how it is -> fetch the answers

Every call here is one exchange, sent once and bounded in time and size. Nothing here repeats one.
"""

import re
import secrets
from collections.abc import Collection, Iterator
from typing import Any, Protocol

import msgspec
from msgspec import Raw, Struct

from farthing.config import ProviderConfig
from farthing.dialects.chat.usage import UsageForm
from farthing.errors import KeyRejected, ProviderUnavailable
from farthing.models.providers.http import JSON
from farthing.models.providers.openai.batch_file import ENDPOINT, outcomes, question_line, upload_form
from farthing.protocols import BatchState, Outcome, Provider, Transport
from farthing.text.lenient_json import NULL
from farthing.types import Prompt, Target

TAG = "farthing"
"""The name under which a batch carries our own word for it."""
REPLY_BYTES_MAX = 4_194_304  # of a listing: a hundred batches
LISTED_MAX = 100
CALL_S = 60.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")  # it becomes part of a path
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

_encode = msgspec.json.Encoder().encode


class _Batch(Struct):
    """A batch as the provider tells of it."""

    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: Raw = NULL
    errors: Raw = NULL

    def state(self) -> BatchState:
        files = tuple(one for one in (self.output_file_id, self.error_file_id) if one)
        return BatchState(
            id=_checked(self.id),
            ended=self.status in _ENDED,
            files=files,
            why=self._why(),
            tag=self._tag(),
            status=self.status,
        )

    def _why(self) -> str:
        try:
            errors = msgspec.json.decode(self.errors)
            return " ".join(str(errors["data"][0]["message"]).split())[:300]
        except (msgspec.DecodeError, LookupError, TypeError):
            return ""

    def _tag(self) -> str | None:
        try:
            metadata = msgspec.json.decode(self.metadata)
            return str(metadata[TAG])
        except (msgspec.DecodeError, LookupError, TypeError):
            return None


class _File(Struct):
    id: str


class _Listing(Struct):
    data: list[_Batch]


FILE_S = 300.0  # for a file up or down


class BatchProvider(Provider, Protocol):
    """A provider that has a batch interface beside the one that answers."""

    def head(self, method: str, suffix: str, content_type: str | None = None) -> bytes:
        """Request line and headers, with its key, without content-length and the blank line."""


class OpenAIBatch:
    """The batch interface of one provider. See `protocols.BatchApi`."""

    def __init__(
        self, transport: Transport, provider: BatchProvider, usage_form: UsageForm, limits: ProviderConfig
    ) -> None:
        self._provider = provider
        self._usage_form = usage_form
        self.answers_bytes_max = limits.answer_bytes_max
        self._transport = transport
        self._whole_s = FILE_S if limits.whole_s is None else limits.whole_s

    def line(self, custom_id: str, prompt: Prompt, target: Target) -> bytes:
        return question_line(custom_id, self._provider.encode(prompt, target, "chat", custom_id)[1])

    def outcomes(self, content: bytes, ids: Collection[str]) -> Iterator[tuple[str, Outcome] | None]:
        return outcomes(content, ids, self._provider, self._usage_form)

    async def upload(self, content: bytes, name: str) -> str:
        content_type, body = upload_form(content, f"{name}.jsonl", f"farthing-{secrets.token_hex(16)}")
        reply = await self._call("POST", "/files", name, body, content_type, within_s=self._whole_s)
        return _checked(_read(reply, _File).id)

    async def create(self, file_id: str, tag: str) -> BatchState:
        asked: dict[str, Any] = {
            "input_file_id": file_id,
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": {TAG: tag},
        }
        return _state(await self._call("POST", "/batches", tag, _encode(asked), JSON))

    async def state(self, batch_id: str) -> BatchState:
        return _state(await self._call("GET", f"/batches/{_checked(batch_id)}", batch_id))

    async def find(self, tag: str) -> BatchState | None:
        reply = await self._call("GET", f"/batches?limit={LISTED_MAX}", tag)
        states = (one.state() for one in _read(reply, _Listing).data)
        return next((one for one in states if one.tag == tag), None)

    async def content(self, file_id: str) -> bytes:
        return await self._call(
            "GET",
            f"/files/{_checked(file_id)}/content",
            file_id,
            within_s=self._whole_s,
            bytes_max=self.answers_bytes_max,
        )

    async def _call(
        self,
        method: str,
        suffix: str,
        request_id: str,
        body: bytes = b"",
        content_type: str | None = None,
        *,
        within_s: float = CALL_S,
        bytes_max: int = REPLY_BYTES_MAX,
    ) -> bytes:
        provider = self._provider
        credentials = provider.credentials
        number = 0 if credentials is None else await credentials.ready(within_s)
        head = b"%bx-request-id: %b\r\n" % (provider.head(method, suffix, content_type), request_id.encode())
        exchange = await self._transport.send(provider.origin, head, body, first_byte_s=within_s, whole=True)
        reply = await exchange.read(bytes_max)
        if exchange.status != 200:
            error = provider.failure(exchange.status, exchange.headers, reply)
            if credentials is not None and isinstance(error, KeyRejected):
                credentials.refused(number, lacks_right=error.lacks_right)
            raise error
        return reply


def _state(reply: bytes) -> BatchState:
    batch: _Batch = _read(reply, _Batch)
    return batch.state()


def _read(reply: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(reply, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProviderUnavailable(
            f"the batch interface said something else than it should: {error}"
        ) from None


def _checked(found: str) -> str:
    if _ID.fullmatch(found) is None:
        raise ProviderUnavailable("the batch interface gave an id that is none")
    return found
