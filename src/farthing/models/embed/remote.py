"""Vectors from an endpoint of OpenAI's embeddings form, through the gateway's own transport.

The texts of several requests go up in one call. What they cost is counted, so that the savings of the cache
are net of it.
"""

import asyncio
import binascii
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct

from farthing.config import CallConfig
from farthing.dialects.chat.usage import read_usage
from farthing.errors import KeyRejected, ProviderError, StoreError
from farthing.models.embed.batching import Asked, Batcher
from farthing.models.embed.session import require
from farthing.models.health.health import Health
from farthing.models.pricing.cost import cost_nusd
from farthing.protocols import Provider, Transport
from farthing.types import Prompt, Target, Usage

if TYPE_CHECKING:
    from farthing.protocols import Vector, Vectors

BATCH_TEXTS_MAX = 32
BATCHES_MAX = 4
WAITING_MAX = 1_024
CHARS_PER_TOKEN = 4  # of English; used to cut before the call and where usage is not stated
REPLY_BYTES_PER_DIM = 32  # a number in JSON is at most some 25 characters
REPLY_BYTES_MORE = 65_536
RAW_BYTES_AT_ONCE = 8_192
LENGTH_MIN = 1e-6  # a vector shorter than this has no direction


class _Item(Struct):
    embedding: Raw
    index: int | None = None


class _Reply(Struct):
    data: list[_Item]
    usage: Raw = Raw(b"null")


_decode = msgspec.json.Decoder(_Reply).decode
_decode_vector = msgspec.json.Decoder(list[float] | str).decode


class RemoteEmbedder:
    """See `protocols.Embedder`. A text is cut at `tokens_max` tokens, reckoned as four characters each."""

    immediate = True

    def __init__(
        self,
        transport: Transport,
        provider: Provider,
        target: Target,
        *,
        dims: int,
        tokens_max: int = 8_000,
        timeout_s: float = 2.0,
        window_s: float = 0.002,
        call: CallConfig | None = None,
        on_usage: Callable[[Usage, int | None], None] | None = None,
    ) -> None:
        """`call` sets the breaker of the endpoint (None: the defaults).

        `on_usage` is called with the tokens of each call and its cost in nano-dollars (None: no price is
        known).

        Raises:
            ConfigError: a package of the extra `semantic` is not installed.
        """
        require(("numpy",))
        self.name = f"{target.name}/{dims}"
        self.dims = dims
        self.tokens_max = tokens_max
        self._transport = transport
        self._provider = provider
        self._target = target
        self._timeout_s = timeout_s
        self._on_usage = on_usage
        self._calls = 0
        self._health = Health(CallConfig() if call is None else call, time.monotonic)
        self._batcher: Batcher[tuple[Vector, bool]] = Batcher(
            self._work,
            name=f"the embedding model {target.name}",
            texts_max=BATCH_TEXTS_MAX,
            chars_max=tokens_max * CHARS_PER_TOKEN,
            waiting_max=WAITING_MAX,
            window_s=window_s,
            batches_max=BATCHES_MAX,
        )

    async def embed(self, texts: Sequence[str]) -> "tuple[Vectors, Sequence[bool]]":
        import numpy as np

        found = await self._batcher.ask(texts)
        if not found:
            return np.empty((0, self.dims), np.float32), ()
        return np.stack([vector for vector, _ in found]), [cut for _, cut in found]

    async def _work(self, batch: Sequence[Asked]) -> "Sequence[tuple[Vector, bool] | None]":
        chars_max = self.tokens_max * CHARS_PER_TOKEN
        # An empty input is refused by OpenAI, and half of a surrogate pair by everybody.
        texts = [asked.text[:chars_max].encode(errors="replace").decode() or " " for asked in batch]
        vectors = await self._call(texts)
        return [(vector, len(asked.text) > chars_max) for vector, asked in zip(vectors, batch, strict=True)]

    async def _call(self, texts: list[str]) -> "list[Vector]":
        if self._health.cooldown_s() > 0:
            raise StoreError(str(self._health.cooldown_error(self._target.name)))
        probe = self._health.begin()
        try:
            reply = await self._send(texts)
        except ProviderError as error:
            if error.sent and error.upstream_status is None:
                self._count(None, texts)  # it may have been worked on, so it may be charged for
            self._health.failed(error, probe)
            raise StoreError(f"no vectors from {self._target.name}: {error}") from error
        except BaseException:
            self._health.abandoned(probe)
            self._count(None, texts)
            raise
        self._health.succeeded(probe)
        return await self._read(reply, texts)

    async def _send(self, texts: list[str]) -> bytes:
        """Raises:
        ProviderError: no complete answer of status 200 within the time and size it may take.
        """
        self._calls += 1
        provider = self._provider
        credentials = provider.credentials
        number = 0 if credentials is None else await credentials.ready(self._timeout_s)
        head, body = provider.encode(self._prompt(texts), self._target, "embeddings", f"embed-{self._calls}")
        exchange = await self._transport.send(
            provider.origin, head, body, first_byte_s=self._timeout_s, whole=True
        )
        bytes_max = len(texts) * self.dims * REPLY_BYTES_PER_DIM + REPLY_BYTES_MORE
        reply = await exchange.read(bytes_max)
        if exchange.status != 200:
            error = provider.failure(exchange.status, exchange.headers, reply)
            if credentials is not None and isinstance(error, KeyRejected):
                credentials.refused(number, lacks_right=error.lacks_right)
            raise error
        provider.whole(exchange.headers, reply)  # says what is wrong with one that is no answer at all
        return reply

    def _prompt(self, texts: list[str]) -> Prompt:
        # base64 is a quarter of the bytes and a tenth of the work; whoever does not know it sends numbers.
        body = {"model": self._target.model, "input": texts, "encoding_format": "base64"}
        return Prompt(
            body=body,
            input_tokens=_tokens(texts),
            input_tokens_bound=None,
            output_tokens_max=None,
            stream=False,
        )

    async def _read(self, reply: bytes, texts: list[str]) -> "list[Vector]":
        """Raises:
        StoreError: other vectors than were asked for: fewer, of another width, or without direction.
        """
        try:
            read = _decode(reply)
        except msgspec.DecodeError as error:
            self._count(None, texts)
            raise StoreError(f"{self._target.name} sent no vectors: {error}") from error
        self._count(read_usage(read.usage, operation="embeddings"), texts)
        if len(read.data) != len(texts):
            raise StoreError(f"{self._target.name} sent {len(read.data)} vectors for {len(texts)} texts")
        found: dict[int, Vector] = {}
        for place, item in enumerate(read.data):
            found[place if item.index is None else item.index] = self._vector(item.embedding)
            if len(item.embedding) > RAW_BYTES_AT_ONCE:
                await asyncio.sleep(0)  # numbers in JSON take long to read: others have their turn
        if sorted(found) != list(range(len(texts))):
            raise StoreError(f"{self._target.name} sent vectors whose numbers do not match the texts'")
        return [found[place] for place in range(len(texts))]

    def _vector(self, raw: Raw) -> "Vector":
        import numpy as np

        try:
            value = _decode_vector(raw)
            if isinstance(value, str):
                vector = np.frombuffer(binascii.a2b_base64(value, strict_mode=True), "<f4").astype(np.float32)
            else:
                with np.errstate(over="ignore"):  # what is too large becomes infinite, which has no direction
                    vector = np.array(value, np.float32)
        except (msgspec.DecodeError, ValueError) as error:  # binascii.Error is a ValueError
            raise StoreError(f"{self._target.name} sent a vector that cannot be read: {error}") from error
        if vector.shape != (self.dims,):
            raise StoreError(
                f"{self._target.name} sent a vector of {vector.size} dimensions where the configuration "
                f"says {self.dims}"
            )
        length = float(np.linalg.norm(vector.astype(np.float64)))  # which no float32 overflows
        if not LENGTH_MIN < length < float("inf"):
            raise StoreError(f"{self._target.name} sent a vector without a direction")
        return vector / np.float32(length)

    def _count(self, usage: Usage | None, texts: list[str]) -> None:
        if self._on_usage is not None:
            if usage is None:
                usage = Usage(input_tokens=_tokens(texts), estimated=True)
            cost = cost_nusd(self._target.price, usage) if usage.told_nusd is None else usage.told_nusd
            self._on_usage(usage, cost)

    async def aclose(self) -> None:
        """Does nothing: the transport is shared and stays open."""
        await self._batcher.aclose()


def _tokens(texts: Sequence[str]) -> int:
    return sum(len(text) // CHARS_PER_TOKEN + 1 for text in texts)
