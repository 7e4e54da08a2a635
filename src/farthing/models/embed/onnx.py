"""all-MiniLM-L6-v2 as int8 ONNX, in this process: nothing leaves the machine, no call is paid.

One worker thread has one session on one thread; the event loop never waits for it. Each text is a call of
its own, without padding: the vector of a text depends on that text alone, bit for bit, whoever asks beside
it. (Eight short texts in one call cost a quarter less CPU; their vectors would differ in the third digit from
batch to batch, because what goes into each int8 product is scaled over the whole call.)
"""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from farthing.models.embed.batching import Asked, Batcher
from farthing.models.embed.local import LocalModel
from farthing.models.embed.session import MODELS, read_tokens

if TYPE_CHECKING:
    from farthing.protocols import Vector, Vectors

BATCH_TEXTS_MAX = 16
BATCH_CHARS_MAX = 4_096  # about 0.1 s of work at most, which the texts behind it wait for
WAITING_MAX = 512
UNKNOWN_TOKEN = "[UNK]"
"""What a word with a character that the vocabulary lacks becomes, and every word of over 100 characters."""


class OnnxEmbedder:
    """See `protocols.Embedder`. Loads on first use, or by `warm`; 1.3 ms of CPU for 12 words."""

    immediate = True

    name = "all-MiniLM-L6-v2/int8"
    dims = 384
    tokens_max = 256  # what the model was trained on; the model card: longer input is truncated

    def __init__(
        self,
        *,
        model: Path = MODELS / "minilm-l6.int8.onnx",
        tokenizer: Path = MODELS / "minilm-l6.tokenizer.json",
        window_s: float = 0.0,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """Raises:
        ConfigError: a package of the extra `semantic` is not installed.
        """
        self._local = LocalModel(model, tokenizer, name="the embedding model", thread="embed")
        self.cpu_s = 0.0
        """Processor time spent on vectors so far."""
        self._batcher: Batcher[tuple[Vector, bool]] = Batcher(
            self._work,
            name="the embedding model",
            texts_max=BATCH_TEXTS_MAX,
            chars_max=BATCH_CHARS_MAX,
            waiting_max=waiting_max,
            window_s=window_s,
        )

    async def warm(self) -> None:
        """As `LocalModel.warm`."""
        await self._local.warm()

    async def embed(self, texts: Sequence[str]) -> "tuple[Vectors, Sequence[bool]]":
        import numpy as np

        found = await self._batcher.ask(texts)
        if not found:
            return np.empty((0, self.dims), np.float32), ()
        return np.stack([vector for vector, _ in found]), [unread for _, unread in found]

    async def _work(self, batch: Sequence[Asked]) -> "Sequence[tuple[Vector, bool] | None]":
        return await self._local.run(partial(self._embed_all, batch))

    def _embed_all(self, batch: Sequence[Asked]) -> "list[tuple[Vector, bool] | None]":
        began_s = time.thread_time()
        try:
            return [self._embed_one(asked.text) if asked.wanted else None for asked in batch]
        finally:
            self.cpu_s += time.thread_time() - began_s

    def _embed_one(self, text: str) -> "tuple[Vector, bool]":
        import numpy as np

        tokenizer = self._local.tokenizer
        ids, cut = read_tokens(tokenizer, text, self.tokens_max)
        unread = cut or tokenizer.token_to_id(UNKNOWN_TOKEN) in ids
        (vectors,) = self._local.session.run(None, {"ids": np.array([ids], np.int32)})
        vector: Vector = vectors[0]
        return vector, unread

    async def aclose(self) -> None:
        await self._batcher.aclose()
        self._local.close(cancel=True)
