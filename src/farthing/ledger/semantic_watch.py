"""What a receipt says of the semantic cache, and alarms for when that cache silently stops helping.

A cache that finds nothing makes no errors, so nobody looks. Three things are watched for each endpoint, in
blocks of `BLOCK` looks, against the endpoint's own trailing blocks:

*   `coverage`: the share of looks that found any stored question near enough to ask the verifier about;
*   `effect`: the share of looks that were, or in observe would have been, answered;
*   `failing`: the share of looks that failed and were swallowed by the journey, against a fixed share.

A block is an alarm where chance alone would show so few at most once in `1/ALPHA` blocks (Fisher's exact
test; the binomial for `failing`) and the fall is no trifle. So with steady traffic a false alarm of one kind
comes once in 200,000 looks. Blocks in alarm are left out of what later ones are compared with, until
`SETTLE` of them in a row say that this is how it is now.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, Literal

from farthing.stats.exact_tests import at_least, fewer_by_chance
from farthing.types import Receipt

LookResult = Literal["served", "would_serve", "audited", "rejected", "none", "failed"]

BLOCK = 200
BEFORE_MAX = 20  # blocks that one is compared with
BEFORE_MIN = 2
SETTLE = 20
ALPHA = 0.001
FALL = 1 / 3  # a share that fell by less than this part of itself is no alarm, however sure
FAILED_MAX = 0.05

ALARMS: Final[Mapping[str, str]] = {
    "reach": "fewer requests are looked up: did requests gain tools, several messages of an agent, or words "
    "that are never kept, or was the cache turned off?",
    "coverage": "fewer lookups find a stored question near: did the system prompt, a parameter or the "
    "version of the documents begin to change with each request, or was the cache emptied?",
    "effect": "fewer lookups are answered: is the threshold higher, has the monitor tripped, is the traffic "
    "new?",
    "failing": "lookups fail or are late and are left out: see the log for `step semantic skipped`, and "
    "brain.timeout_s",
    "loss": "embedding, judge and other background jobs cost more than the hits saved: lower audit_share, "
    "take a cheaper judge, or turn it off",
}
"""Every alarm and what to look at. `reach` and `loss` are told by the report alone."""


def look_result(receipt: Receipt) -> LookResult | None:
    """What the look of a client's request came to; None when there was none.

    `none`: nothing was near, or the request was one that is never answered from there.
    """
    if "semantic" in receipt.skipped:
        return "failed"
    if receipt.cache == "semantic":
        return "served"
    if receipt.audit and receipt.cache_would_hit:
        return "audited"
    if receipt.cache_entry:
        return "would_serve" if receipt.cache_would_hit else "rejected"
    return "none" if "semantic" in receipt.stage_ms else None


class Fallen:
    """Whether a share fell against its own past."""

    def __init__(self) -> None:
        self.active = False
        self.share: float | None = None
        """Of the last whole block."""
        self.before: float | None = None
        """Of the blocks it was compared with."""
        self._blocks: deque[int] = deque(maxlen=BEFORE_MAX)
        self._alarmed: list[int] = []
        self._count = self._of = 0

    def add(self, marked: bool) -> None:
        self._count += marked
        self._of += 1
        if self._of == BLOCK:
            self._close()

    def _close(self) -> None:
        count, blocks = self._count, self._blocks
        self._count = self._of = 0
        self.share = count / BLOCK
        before = sum(blocks)
        of_before = len(blocks) * BLOCK
        self.before = before / of_before if of_before else None
        self.active = (
            len(blocks) >= BEFORE_MIN
            and count / BLOCK < (1 - FALL) * before / of_before
            and fewer_by_chance(count, BLOCK, before, of_before) <= ALPHA
        )
        if not self.active:
            self._alarmed.clear()
            blocks.append(count)
            return
        self._alarmed.append(count)
        if len(self._alarmed) >= SETTLE:
            blocks.clear()
            blocks.extend(self._alarmed)
            self._alarmed.clear()


class TooMany:
    """Whether a share is above `FAILED_MAX`."""

    def __init__(self) -> None:
        self.active = False
        self.share: float | None = None
        self._count = self._of = 0

    def add(self, marked: bool) -> None:
        self._count += marked
        self._of += 1
        if self._of == BLOCK:
            self.share = self._count / BLOCK
            self.active = at_least(self._count, BLOCK, FAILED_MAX) <= ALPHA
            self._count = self._of = 0


class Watch:
    """The alarms of one endpoint."""

    def __init__(self) -> None:
        self.coverage = Fallen()
        self.effect = Fallen()
        self.failing = TooMany()

    def add(self, result: LookResult) -> None:
        """Take one look. One that failed says nothing of what it would have found."""
        failed = result == "failed"
        self.failing.add(failed)
        if not failed:
            self.coverage.add(result != "none")
            self.effect.add(result in ("served", "would_serve", "audited"))

    def alarms(self) -> dict[str, bool]:
        return {
            "coverage": self.coverage.active,
            "effect": self.effect.active,
            "failing": self.failing.active,
        }
