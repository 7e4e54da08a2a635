"""Models that run beside the gateway or answer for it: vectors, pairs, counts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from farthing.types import UNKNOWN, Json, Prompt, Target, TokenCount, Usage

if TYPE_CHECKING:
    from farthing.protocols.vectors import Vectors


class Embedder(Protocol):  # models/embed: onnx | remote
    """Texts to vectors. Vectors of embedders with different names are never compared."""

    name: str
    """Model and version, `all-MiniLM-L6-v2/int8`."""
    dims: int
    tokens_max: int
    """A text of more tokens is cut there."""

    async def embed(self, texts: Sequence[str]) -> "tuple[Vectors, Sequence[bool]]":
        """Return a vector for each text, and whether some of the text is not in it: it was cut, or has what
        the model has no token for, so that other texts have the very same vector. An embedder that cannot see
        its tokens says so of a cut alone.

        Raises:
            StoreError: it cannot be told now (overloaded, remote failure).
        """

    async def aclose(self) -> None:
        """Safe to call twice."""


class PairModel(Protocol):  # models/pair: onnx
    """A cross-encoder: reads two texts together."""

    name: str

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> Sequence[float]:
        """A logit for each pair that both ask the same; the order within a pair does not matter.

        Raises:
            StoreError: it cannot be told now.
        """

    async def aclose(self) -> None:
        """Safe to call twice."""


class TokenCounter(Protocol):  # models/tokens: estimate | tiktoken
    def count(self, text: str, model: str) -> int:
        """Return how many tokens `text` has for `model`."""


class TokenSizes(Protocol):  # models/tokens: sizes
    """How many tokens a prompt has for one model, by what the usage of its provider has taught."""

    def expected(
        self,
        target: Target,
        tokens: int,
        media_tokens: int = 0,
        body: Json | None = None,
        language: str = UNKNOWN,
    ) -> TokenCount:
        """What `target` will count for a prompt that is estimated at `tokens`, of which `media_tokens` are
        images, audio and files; they are counted by the rules of its family where `body` is given.
        """

    def bound(self, target: Target, prompt: Prompt) -> int:
        """As many tokens as `prompt` may have for `target`, with a margin that shrinks with the error of its
        ratio. Takes milliseconds."""

    def learn(self, target: Target, prompt: Prompt, usage: Usage) -> None:
        """Take the usage that the provider of `target` has stated for `prompt`."""
