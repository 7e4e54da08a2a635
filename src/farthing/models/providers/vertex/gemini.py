"""Gemini in a project of Google Cloud: `generateContent` as an upstream, by another address and with tokens.

It has no embeddings by that address; how its tokens are counted differs by an envelope.
"""

from farthing.config import VertexProviderConfig
from farthing.models.providers.gemini.provider import GeminiProvider
from farthing.models.providers.vertex.place import VERSIONS, list_of, place_of, version_in
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import BearerToken, Capabilities
from farthing.types import Json

COUNTED = frozenset({"contents", "systemInstruction", "tools", "generationConfig"})
"""Fields of a request that its counting takes."""


class VertexGeminiProvider(GeminiProvider):
    """One configured provider. See `protocols.Provider`."""

    def __init__(
        self,
        name: str,
        origin: HttpOrigin,
        config: VertexProviderConfig,
        *,
        path: str,
        passage: Passage | None = None,
        token: BearerToken | None = None,
    ) -> None:
        """As `GeminiProvider`."""
        path = path or VERSIONS["google"]
        super().__init__(
            name,
            origin,
            config,
            path=path,
            below=place_of(config),
            passage=passage,
            token=token,
        )
        self.capabilities = Capabilities(operations=frozenset({"chat"}), counts_tokens=True)
        self._listed, self._version = list_of(config), version_in(path)

    def list_head(self) -> bytes:
        return self.head("GET", self._listed, without=self._version)

    def _counted(self, body: Json, model: str) -> Json:
        return {name: value for name, value in body.items() if name in COUNTED}
