"""OpenAI's Batch API through the gateway's own transport: the provider's connections, TLS, key and caps.

    upload a file of questions -> create a batch of it -> ask how it is -> fetch the answers

Every call here is one exchange, sent once and bounded in time and size. Nothing here repeats one.
"""

import re
import secrets
from typing import Any

import msgspec
from msgspec import Raw, Struct

from farthing.config import ProviderConfig
from farthing.errors import ProviderUnavailable
from farthing.models.providers.batch_file import ENDPOINT, upload_form
from farthing.models.providers.openai import JSON, OpenAIProvider
from farthing.protocols import Transport
from farthing.text.lenient_json import NULL

TAG = "farthing"
"""The name under which a batch carries our own word for it."""
REPLY_BYTES_MAX = 4_194_304  # of a listing: a hundred batches
LISTED_MAX = 100
CALL_S = 60.0
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")  # it becomes part of a path
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

_encode = msgspec.json.Encoder().encode


class BatchState(Struct, frozen=True):
    """How a batch is, in the provider's words."""

    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: Raw = NULL
    errors: Raw = NULL

    @property
    def ended(self) -> bool:
        """Nothing more will come of it. Only then has it files to read."""
        return self.status in _ENDED

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(one for one in (self.output_file_id, self.error_file_id) if one)

    @property
    def why(self) -> str:
        """The provider's own words for why it failed as a whole; empty when it says nothing."""
        try:
            errors = msgspec.json.decode(self.errors)
            return " ".join(str(errors["data"][0]["message"]).split())[:300]
        except (msgspec.DecodeError, LookupError, TypeError):
            return ""

    @property
    def tag(self) -> str | None:
        try:
            metadata = msgspec.json.decode(self.metadata)
            return str(metadata[TAG])
        except (msgspec.DecodeError, LookupError, TypeError):
            return None


class _File(Struct):
    id: str


class _Listing(Struct):
    data: list[BatchState]


FILE_S = 300.0  # for a file up or down


class BatchApi:
    """The batch interface of one provider. Every method raises ProviderError when it has no good answer."""

    def __init__(self, transport: Transport, provider: OpenAIProvider, limits: ProviderConfig) -> None:
        self.provider = provider
        self.answers_bytes_max = limits.answer_bytes_max
        """Largest file of answers that `content` reads."""
        self._transport = transport
        self._whole_s = FILE_S if limits.whole_s is None else limits.whole_s

    async def upload(self, content: bytes, name: str) -> str:
        """Upload a file of questions; its id."""
        content_type, body = upload_form(content, f"{name}.jsonl", f"farthing-{secrets.token_hex(16)}")
        reply = await self._call("POST", "/files", name, body, content_type, within_s=self._whole_s)
        return _checked(_read(reply, _File).id)

    async def create(self, file_id: str, tag: str) -> BatchState:
        """Have the questions of an uploaded file answered within a day. `tag` finds it again."""
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
        """The batch that was created with `tag`; None: it is not among the newest hundred."""
        reply = await self._call("GET", f"/batches?limit={LISTED_MAX}", tag)
        return next((one for one in _read(reply, _Listing).data if one.tag == tag), None)

    async def content(self, file_id: str) -> bytes:
        """A file of answers, at most `answers_bytes_max` of it."""
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
        provider = self.provider
        head = b"%bx-request-id: %b\r\n" % (provider.head(method, suffix, content_type), request_id.encode())
        exchange = await self._transport.send(provider.origin, head, body, first_byte_s=within_s, whole=True)
        reply = await exchange.read(bytes_max)
        if exchange.status != 200:
            raise provider.failure(exchange.status, exchange.headers, reply)
        return reply


def _state(reply: bytes) -> BatchState:
    state: BatchState = _read(reply, BatchState)
    _checked(state.id)
    return state


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
