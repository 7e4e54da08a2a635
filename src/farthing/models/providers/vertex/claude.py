"""Claude in a project of Google Cloud: Messages as an upstream, by another address and with tokens.

The model stands in the path, and the version of the interface in the body; all else of a request of Messages
goes up as its client sent it, with its betas in their header.
"""

from collections.abc import Mapping
from urllib.parse import quote

from farthing.config import VertexProviderConfig
from farthing.dialects.splice import REMOVED
from farthing.models.providers.anthropic import edits
from farthing.models.providers.anthropic.elsewhere import VERTEX, messages_last
from farthing.models.providers.anthropic.provider import VERSION as VERSION_HEADER
from farthing.models.providers.anthropic.provider import AnthropicProvider
from farthing.models.providers.http import JSON
from farthing.models.providers.translating import written
from farthing.models.providers.vertex.place import VERSION, list_of, place_of
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import Passage
from farthing.protocols import BearerToken
from farthing.text.lenient_json import write_json
from farthing.types import Json, Operation, Prompt, Target

INTERFACE: Mapping[str, str] = {"anthropic_version": "vertex-2023-10-16"}
COUNT = "count-tokens:rawPredict"
_PLACE = "{model}:{method}"


class VertexClaudeProvider(AnthropicProvider):
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
        """As `AnthropicProvider`, with the path of the version."""
        super().__init__(
            name, origin, config, path=path or VERSION, passage=passage, token=token, cloud=VERTEX
        )
        self._called = self.lasting_head("POST", f"{VERSION}{place_of(config)}/models/{_PLACE}", JSON)
        self._listed = list_of(config)

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        method = "streamRawPredict" if prompt.stream else "rawPredict"
        head = self._head_of(f"{quote(target.model, safe='@-_.~')}:{method}", prompt, passed)
        head += b"x-request-id: %b\r\n" % request_id.encode()
        sent = self.as_sent(prompt)
        if sent is not None:
            own = edits.changes(prompt, sent, target.model, VERTEX)
            changed = {**own, **INTERFACE, "model": REMOVED}
            return head, messages_last(edits.marked(written(sent, changed), prompt, target.model))
        return head, write_json(_below(self._translations.body(prompt, target)))

    def _head_of(self, method: str, prompt: Prompt, passed: tuple[tuple[str, str], ...]) -> bytes:
        head = self._called.replace(_PLACE.encode(), method.encode(), 1) + self.token_line
        if not passed:
            return head
        of_messages = prompt.sent is not None and prompt.sent.dialect == "messages"
        return head + self.passage.up(passed, None if of_messages else VERSION_HEADER)

    def list_head(self) -> bytes:
        return self.head("GET", self._listed)

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> tuple[bytes, bytes] | None:
        head = self._head_of(COUNT, prompt, passed)
        sent = self.as_sent(prompt)
        if sent is not None:
            return head, written(sent, {**edits.counted(sent, target.model, VERTEX), **INTERFACE})
        return head, write_json({**self.counted_of(prompt, target), **INTERFACE})


def _below(body: Json) -> Json:
    """A request as it stands below the path that names its model."""
    above = {name: value for name, value in body.items() if name not in ("model", "messages")}
    return {**INTERFACE, **above, "messages": body["messages"]}
