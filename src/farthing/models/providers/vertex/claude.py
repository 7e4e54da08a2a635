"""Claude in a project of Google Cloud: Messages as an upstream, by another address and with tokens.

The model stands in the path, and the version of the interface in the body; all else of a request of Messages
goes up as its client sent it. Of its betas go up those that Vertex knows, in their header.
"""

from collections.abc import Mapping
from urllib.parse import quote

from farthing.config import VertexProviderConfig
from farthing.dialects.splice import REMOVED
from farthing.models.providers.anthropic import betas, edits
from farthing.models.providers.anthropic.elsewhere import VERTEX, messages_last
from farthing.models.providers.anthropic.provider import AnthropicProvider
from farthing.models.providers.http import JSON
from farthing.models.providers.learnt import Lessons
from farthing.models.providers.translating import written
from farthing.models.providers.vertex.place import VERSIONS, list_of, place_of, version_in
from farthing.models.transport.origin import HttpOrigin
from farthing.models.transport.passage import OF_MESSAGES, Passage
from farthing.protocols import BearerToken
from farthing.text.lenient_json import write_json
from farthing.types import Json, Operation, Prompt, Target

INTERFACE: Mapping[str, str] = {"anthropic_version": "vertex-2023-10-16"}
BETAS = frozenset({
    "claude-code-20250219", "compact-2026-01-12", "computer-use-2024-10-22", "computer-use-2025-01-24",
    "computer-use-2025-11-24", "context-1m-2025-08-07", "context-management-2025-06-27",
    "interleaved-thinking-2025-05-14", "tool-search-tool-2025-10-19", "web-search-2025-03-05",
})  # fmt: skip
"""Those that are documented for Vertex, or that Anthropic's own clients send there; it refuses a request with
another."""
UNCOUNTED_BETAS = BETAS - {
    "claude-code-20250219", "context-management-2025-06-27", "interleaved-thinking-2025-05-14",
}  # fmt: skip
"""Those of them with which it refuses to count tokens."""
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
        lessons: Lessons | None = None,
    ) -> None:
        """As `AnthropicProvider`, with the path of the version."""
        path = path or VERSIONS["anthropic"]
        version = version_in(path)
        path = path.removesuffix(version)
        super().__init__(
            name, origin, config, path=path, passage=passage, token=token, cloud=VERTEX, lessons=lessons
        )
        self._called = self.lasting_head("POST", f"{version}{place_of(config)}/models/{_PLACE}", JSON)
        self._listed = list_of(config)
        known = BETAS if config.betas is None else frozenset(config.betas)
        self._betas = self._known = betas.Betas(known, lessons)

    def encode(
        self,
        prompt: Prompt,
        target: Target,
        operation: Operation,
        request_id: str,
        passed: tuple[tuple[str, str], ...] = (),
    ) -> tuple[bytes, bytes]:
        method = "streamRawPredict" if prompt.stream else "rawPredict"
        called = f"{quote(target.model, safe='@-_.~')}:{method}"
        sent = self.as_sent(prompt)
        told = self._translations.body(prompt, target) if sent is None else sent.body
        kept = self._known.going_up(passed, prompt, told, target.model)
        head = self._head_of(called, prompt, passed, kept) + b"x-request-id: %b\r\n" % request_id.encode()
        if sent is None:
            return head, write_json(_below(told))
        changed = betas.supported(sent, edits.changes(prompt, sent, target.model, VERTEX), kept)
        changed = {**changed, **INTERFACE, "model": REMOVED}
        return head, messages_last(edits.marked(written(sent, changed), prompt, target.model))

    def _head_of(
        self, method: str, prompt: Prompt, passed: tuple[tuple[str, str], ...], kept: list[str]
    ) -> bytes:
        """`kept`: the betas that go up."""
        head = self._called.replace(_PLACE.encode(), method.encode(), 1) + self.token_line
        if not passed and not kept:
            return head
        of_messages = betas.of_messages(prompt)
        others = tuple(
            (name, value)
            for name, value in passed
            if name != betas.HEADER and (of_messages or not name.startswith(OF_MESSAGES))
        )
        return head + self.passage.up((*others, (betas.HEADER, ",".join(kept))) if kept else others)

    def list_head(self) -> bytes:
        return self.head("GET", self._listed)

    def count_call(
        self, prompt: Prompt, target: Target, request_id: str, passed: tuple[tuple[str, str], ...] = ()
    ) -> tuple[bytes, bytes] | None:
        sent = self.as_sent(prompt)
        told = self.counted_of(prompt, target) if sent is None else sent.body
        kept = self._known.going_up(passed, prompt, told, target.model, UNCOUNTED_BETAS)
        head = self._head_of(COUNT, prompt, passed, kept)
        if sent is None:
            return head, write_json({**told, **INTERFACE})
        changed = betas.supported(sent, edits.counted(sent, target.model, VERTEX), kept)
        return head, written(sent, {**changed, **INTERFACE})


def _below(body: Json) -> Json:
    """A request as it stands below the path that names its model."""
    above = {name: value for name, value in body.items() if name not in ("model", "messages")}
    return {**INTERFACE, **above, "messages": body["messages"]}
