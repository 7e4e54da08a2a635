"""Implementations outside the tree, by entry points (`wiring/plugins`)."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from farthing.types import (
    Json,
    Request,
    Route,
    Target,
    Traits,
)


class PluginContext(Struct, frozen=True, kw_only=True):
    """What the factory of a plug-in is told besides its options."""

    name: str
    """Of the entry point."""
    where: str
    """The key of the configuration that names it, `endpoints.faq.cascade.checks.tone`."""
    log: logging.Logger
    """For what operators should know. What it says of a request must not hold the request's text."""
    state_dir: Path | None = None
    """The gateway's, where a folder of its own may be made; None: nothing is kept."""
    tiers: Mapping[str, tuple[Target, ...]] = {}
    """For a router: the targets of each tier, in the order to try them."""


class StreamPlugin(Protocol):
    """Reads one streamed answer of a provider plug-in. A new one is made for each."""

    def event(self, name: str, data: bytes) -> "Sequence[Json]":
        """The chat completion chunks that one server-sent event comes to; none is fine. The last one of an
        answer has a `finish_reason`; `usage` may stand in any of them."""


class ProviderPlugin(Protocol):  # farthing.providers
    """Maps chat completions to the dialect of a server and back. Bytes and objects alone, no I/O: the gateway
    connects, waits, retries, counts and writes down."""

    def request(self, body: Json, model: str) -> "tuple[str, Json]":
        """The path below `base_url`, as `/generate`, and the body for `model`; `body` is a client's chat
        completion request, with `stream` where a stream is wanted. It must not be changed."""

    def answer(self, body: bytes) -> Json:
        """The `chat.completion` object that a reply of status 200 is.

        Raises:
            ValueError: it is no answer.
        """

    def stream(self) -> StreamPlugin: ...

    def unsaid(self, body: Json) -> "Sequence[str]":
        """The fields of `body` that the server cannot be told: the request goes to another target then, or is
        refused by name. Never leave them out in silence."""


PluginFactory: TypeAlias = Callable[[Mapping[str, Any], PluginContext], Any]
"""What an entry point is: `factory(options, context)` gives the implementation. Called at the start and where
a reload changed what it is given, in the event loop: it must not take long. `options` is the table of the
configuration, secrets in it as plain text. An implementation with `aclose` is closed at the end."""


class RouterPlugin(Protocol):  # farthing.routers
    async def route(self, request: Request, traits: Traits) -> Route | None:
        """Where to send a request that leaves the choice to the gateway and that no rule decides: one of the
        context's tiers, or some of its targets. None: no opinion, the default tier answers.

        Names, rules, fixed answers and the fallback are not its to decide. `request.tiers` are those among
        which may be chosen; a route that leaves them is not taken.
        """


class GuardrailPlugin(Protocol):  # farthing.guardrails
    async def allows(self, text: str) -> bool:
        """Whether a request with this text may pass. Called for each text of it, some at the same time, until
        one is not allowed. A failure refuses it too."""
