"""A cross-encoder fine-tuned from all-MiniLM-L6-v2, as int8 ONNX, in this process.

One worker thread has one session on one thread; the event loop never waits for it. The two texts are read in
one order that the texts alone decide (the lesser first), so one pass is enough for (a, b) and (b, a) to score
alike, bit for bit. Each pair is a call of its own: what is computed for one pair depends on nobody else's.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from farthing.errors import StoreError
from farthing.models.embed.local import LocalModel
from farthing.models.embed.session import MODELS, read_tokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENS_MAX = 128  # of each text; the model has 256 places
WAITING_MAX = 256
PAIRS_AT_ONCE_MAX = 64


class OnnxPairModel:
    """See `protocols.PairModel`. Loads on first use, or by `warm`; 2 ms of CPU for two texts of 12 words."""

    immediate = True

    name = "minilm-pair/int8/1"

    def __init__(
        self,
        *,
        model: Path = MODELS / "minilm-pair.int8.onnx",
        tokenizer: Path = MODELS / "minilm-l6.tokenizer.json",
        waiting_max: int = WAITING_MAX,
    ) -> None:
        """Raises:
        ConfigError: a package of the extra `semantic` is not installed.
        """
        self._local = LocalModel(model, tokenizer, name="the pair model", thread="pair")
        self._waiting_max = waiting_max
        self._waiting = 0
        self._closed = False

    async def warm(self) -> None:
        """As `LocalModel.warm`."""
        await self._local.warm()

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        found = await self._ask(pairs)
        return [float(logit) for logit, _ in found]

    async def features(self, pairs: Sequence[tuple[str, str]]) -> "NDArray[np.float32]":
        """What the score is made of, shape (pairs, 1 + 1152): the logit, then the model's last vectors.

        For fitting a verifier to one's own pairs.

        Raises:
            StoreError: it cannot be told now.
        """
        import numpy as np

        found = await self._ask(pairs)
        if not found:
            return np.empty((0, 1 + 3 * 384), np.float32)
        return np.stack([np.concatenate([[logit], row]) for logit, row in found]).astype(np.float32)

    async def _ask(self, pairs: Sequence[tuple[str, str]]) -> "list[tuple[float, NDArray[np.float32]]]":
        """In parts, so that a long list does not keep the others waiting."""
        found: list[tuple[float, NDArray[np.float32]]] = []
        for at in range(0, len(pairs), PAIRS_AT_ONCE_MAX):
            part = pairs[at : at + PAIRS_AT_ONCE_MAX]
            if self._closed:
                raise StoreError("the pair model is closed")
            if self._waiting + len(part) > self._waiting_max:
                raise StoreError("too many wait for the pair model")
            self._waiting += len(part)
            left = Event()
            try:
                found += await self._local.run(partial(self._read, part, left))
            finally:
                left.set()  # of a caller that was cancelled: what has not begun is skipped
                self._waiting -= len(part)
        return found

    def _read(
        self, pairs: Sequence[tuple[str, str]], left: Event
    ) -> "list[tuple[float, NDArray[np.float32]]]":
        if self._closed:
            raise StoreError("the pair model is closed")
        return [self._read_one(*pair) for pair in pairs if not left.is_set()]

    def _read_one(self, a: str, b: str) -> "tuple[float, NDArray[np.float32]]":
        import numpy as np

        first, second = (a, b) if a <= b else (b, a)
        ids, _ = read_tokens(self._local.tokenizer, first, TOKENS_MAX)
        more, _ = read_tokens(self._local.tokenizer, second, TOKENS_MAX)
        types = [0] * len(ids) + [1] * (len(more) - 1)  # the second text comes without its [CLS]
        given = {"ids": np.array([ids + more[1:]], np.int32), "types": np.array([types], np.int32)}
        logits, rows = self._local.session.run(None, given)
        return float(logits[0, 0]), rows[0]

    async def aclose(self) -> None:
        self._closed = True
        self._local.close(cancel=False)  # what waits there finds it closed
