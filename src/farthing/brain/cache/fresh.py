"""Which requests get a fresh answer whatever is stored: those that asked for a sample, or ask once more.

A client that sends the same request five times at a temperature wants five answers, and one that presses
"regenerate" wants another one. What a stored or a shared answer may stand for is a request that can be
answered the same way twice:

    seed given                           a client that asks for the same again: may be answered from memory
    n above 1                            several samples: asked anew
    temperature above 0                  a sample: asked anew
    temperature 0                        may be answered from memory
    none given, a model named            the client left the sampling to that model's default: asked anew
    none given, auto, a tier, an endpoint  the choice was left to the gateway: may be answered from memory
    embeddings                           the same for the same input: may be answered from memory

And of those, the same session or user that was given this very answer a moment ago gets a fresh one, which
takes the place of the stored one. An endpoint opts out of all of this with `cache.reuse = "always"`. The same
holds for exact hits, shared calls and the semantic cache.
"""

import time
from collections.abc import Callable
from typing import Literal

from farthing.types import Request, choices_said

GIVEN_MAX = 50_000  # about 8 MB

Reason = Literal["", "sampled", "named"]


def why_asked_anew(request: Request, pins: Callable[[Request], bool]) -> Reason:
    """Why `request` must not be answered from memory, nor its answer kept; empty: it may be. Pure and quick.

    `pins` tells whether its client named a model (`Router.pins`). The gateway's own background jobs are
    never.
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
    """Remembers who was given the answer to what, for `within_s`. Bounded; one event loop.

    Kept in memory alone: a restart, or another process, makes a repeat a hit.
    """

    def __init__(self, *, kept_max: int = GIVEN_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_max = kept_max
        self._clock = clock
        self._given: dict[int, float] = {}
        """Who and what -> when, oldest first."""

    def __len__(self) -> int:
        return len(self._given)

    def note(self, who_and_what: int) -> None:
        """Remember that the answer went out now."""
        given = self._given
        given.pop(who_and_what, None)
        given[who_and_what] = self._clock()
        if len(given) > self._kept_max:
            del given[next(iter(given))]

    def lately(self, who_and_what: int, within_s: float) -> bool:
        """Whether it went out at most `within_s` ago; never within 0."""
        at_s = self._given.get(who_and_what)
        return at_s is not None and 0.0 < within_s >= self._clock() - at_s


def who_and_what(request: Request, key: bytes | None) -> int | None:
    """Who asks, and for what: the session, or the user where there is no session. None: nobody can be told
    from another (no session, no `user`, no `safety_identifier`), or all samples may be shared, or what was
    asked is the same whoever asks (an embedding).

    `key` is the request's in the exact cache. Without one what was last said tells it, at the same place of
    the talk, endpoint and model: an agent's next step is not the same question again.
    """
    who = request.session or request.user or request.body.get("safety_identifier")
    if not who or request.operation != "chat" or request.own or request.endpoint.cache_reuse == "always":
        return None
    tenant, apart = request.tenant.name, request.session is None
    # keyed by the process (PYTHONHASHSEED), 64 bits: two that fall together cost one hit
    if key is not None:
        return hash((tenant, apart, str(who), key))
    place = len(request.body.get("messages") or ())
    return hash((tenant, apart, str(who), request.endpoint.name, request.model, request.text, place))
