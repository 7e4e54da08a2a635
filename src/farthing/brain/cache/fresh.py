"""Which requests need a fresh answer whatever is stored: those that ask for a sample, or ask again.

A client that sends the same request five times at a temperature wants five answers, and one that presses
"regenerate" wants another answer. A stored or shared answer may only serve a request that can be answered the
same way twice:

    seed given                           the client asks for the same again: may be answered from the cache
    n above 1                            several samples: fresh
    temperature above 0                  a sample: fresh
    temperature 0                        may be answered from the cache
    none given, a model named            the client left the sampling to that model's default: fresh
    none given, auto, a tier, an endpoint  the choice was left to the gateway: may be answered from the cache
    embeddings                           the same for the same input: may be answered from the cache

Even then, a session or user that received this very answer a moment ago gets a fresh one, which replaces the
stored one. An endpoint opts out of all of this with `cache.reuse = "always"`. The rules cover exact hits,
shared calls and the semantic cache.
"""

import time
from collections.abc import Callable
from typing import Literal

from farthing.types import Request, choices_said

GIVEN_MAX = 50_000  # about 8 MB

Reason = Literal["", "sampled", "named"]


def why_asked_anew(request: Request, pins: Callable[[Request], bool]) -> Reason:
    """Why `request` must not be answered from a cache, nor its answer kept; empty: it may be. Pure and quick.

    `pins` says whether the client named a model (`Router.pins`). The gateway's own background jobs are never
    excluded.
    """
    if request.endpoint.cache_reuse == "always" or request.operation != "chat" or request.own:
        return ""
    body = request.body
    if body.get("seed") is not None:
        return ""
    if choices_said(body) > 1:
        return "sampled"
    temperature = body.get("temperature")
    if temperature is None:
        return "named" if pins(request) else ""
    return "sampled" if temperature > 0 else ""


class Given:
    """Remembers who received the answer to what, for `within_s`. Bounded; one event loop.

    In memory only: after a restart, or in another process, a repeat is a hit.
    """

    def __init__(self, *, kept_max: int = GIVEN_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_max = kept_max
        self._clock = clock
        self._given: dict[int, float] = {}
        """Who and what -> when, oldest first."""

    def __len__(self) -> int:
        return len(self._given)

    def note(self, who_and_what: int) -> None:
        """Remember that the answer was delivered now."""
        given = self._given
        given.pop(who_and_what, None)
        given[who_and_what] = self._clock()
        if len(given) > self._kept_max:
            del given[next(iter(given))]

    def lately(self, who_and_what: int, within_s: float) -> bool:
        """Whether it was delivered at most `within_s` ago; never for 0."""
        at_s = self._given.get(who_and_what)
        return at_s is not None and 0.0 < within_s >= self._clock() - at_s


def who_and_what(request: Request, key: bytes | None) -> int | None:
    """A digest of who asks, and for what. Who is the session, or the user without a session. None: clients
    cannot be told apart (no session, no `user`, no `safety_identifier`), or samples may all be shared, or the
    answer does not depend on who asks (an embedding).

    `key` is the request's key in the exact cache. Without a key, the last message, its position in the
    conversation, endpoint and model decide: an agent's next step is not the same question again.
    """
    who = request.session or request.user or request.body.get("safety_identifier")
    if not who or request.operation != "chat" or request.own or request.endpoint.cache_reuse == "always":
        return None
    tenant, apart = request.tenant.name, request.session is None
    # keyed by the process (PYTHONHASHSEED), 64 bits: a collision costs one hit
    if key is not None:
        return hash((tenant, apart, str(who), key))
    place = len(request.body.get("messages") or ())
    return hash((tenant, apart, str(who), request.endpoint.name, request.model, request.text, place))
