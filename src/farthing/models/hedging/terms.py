"""Hedging: a second call beside one whose answer is slow to begin; whichever begins first is the answer, and
the other is dropped at once ("The Tail at Scale", Dean and Barroso 2013).

A second call is charged for as the first is, so it is made only where an endpoint or tier asks for it, before
anything of an answer has come, out of the retry budget of the target that is slow, and where the contract can
hold the worst case of both. What the one that lost has cost stands in the receipt.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from farthing.types import Receipt, Request

SAMPLES_MAX = 100
SAMPLES_MIN = 20
"""Fewer answers than this say nothing of how long most take to begin."""
SHARE = 0.95
SORTED_EVERY = 8
TARGETS_MAX = 1_000


class HedgeTerms(Struct, frozen=True):
    """When a second call is made."""

    after_s: float | None = None
    """None: when the answer takes longer to begin than 95 of 100 did lately."""


class FirstTimes:
    """How long the newest answers of one target took to begin. An answer that was not waited for counts with
    the time that it was."""

    __slots__ = ("_seen", "_since", "_usual_s")

    def __init__(self) -> None:
        self._seen: deque[float] = deque(maxlen=SAMPLES_MAX)
        self._since = SORTED_EVERY
        self._usual_s: float | None = None

    def took(self, first_s: float) -> None:
        self._seen.append(first_s)
        self._since += 1

    @property
    def usual_s(self) -> float | None:
        """No more than this took 95 of 100; None: too few were seen."""
        if len(self._seen) < SAMPLES_MIN:
            return None
        if self._usual_s is None or self._since >= SORTED_EVERY:
            self._usual_s, self._since = sorted(self._seen)[int(SHARE * len(self._seen))], 0
        return self._usual_s


class Hedging:
    """When the calls of one configuration are hedged."""

    def __init__(
        self, endpoints: Mapping[str, HedgeTerms | None], tiers: Mapping[str, HedgeTerms | None]
    ) -> None:
        """By name. What an endpoint has is decisive: None, that it is never."""
        self._endpoints = endpoints
        self._tiers = tiers
        self._times: dict[tuple[str, bool], FirstTimes] = {}

    def terms(self, request: Request, receipt: Receipt, tier: str) -> HedgeTerms | None:
        """The terms of a request in `tier`; None: it is not hedged, as what has effects beside its answer."""
        name = request.endpoint.name
        found = self._endpoints[name] if name in self._endpoints else self._tiers.get(tier)
        return found if found is not None and may_be_asked_twice(request, receipt) else None

    def after_s(self, terms: HedgeTerms, target: str, *, stream: bool) -> float | None:
        """How long the first call is waited for; None: that is not known yet."""
        if terms.after_s is not None:
            return terms.after_s
        known = self._times.get((target, stream))
        return None if known is None else known.usual_s

    def took(self, target: str, first_s: float, *, stream: bool) -> None:
        """An answer of `target`, streamed or whole, took so long to begin, or longer and was dropped."""
        known = self._times.get((target, stream))
        if known is None:
            if len(self._times) >= TARGETS_MAX:
                return
            known = self._times[target, stream] = FirstTimes()
        known.took(first_s)


def may_be_asked_twice(request: Request, receipt: Receipt) -> bool:
    """Whether asking twice does no more than asking once: nothing is stored by it, and no tool runs at the
    provider."""
    if request.operation != "chat" or receipt.purpose or request.body.get("store") is True:
        return False
    sent = request.sent
    if sent is not None and (
        sent.compacts or (sent.keep is not None and (sent.keep.id or sent.keep.previous))
    ):
        return False
    said = request.body if sent is None else sent.body
    return _only_client_tools(request.body.get("tools")) and _only_client_tools(said.get("tools"))


def _only_client_tools(tools: Any) -> bool:
    """Whether the client itself runs all tools: functions and custom ones, by any dialect's names."""
    return not isinstance(tools, list) or all(
        isinstance(one, dict) and one.get("type") in (None, "function", "custom") for one in tools
    )
