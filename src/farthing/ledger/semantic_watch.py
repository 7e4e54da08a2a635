"""The result of a cache lookup in a receipt, and alarms for when the semantic cache silently stops helping.

A cache that finds nothing makes no errors, so nobody notices. Three shares are watched for each endpoint, in
blocks of `BLOCK` lookups, against the endpoint's own previous blocks:

*   `coverage`: the share of lookups that found any stored question similar enough to ask the verifier about;
*   `effect`: the share of lookups that were answered, or would have been in observe mode;
*   `failing`: the share of lookups that failed and were skipped by the pipeline, against a fixed share.

A block alarms if chance alone would show so few at most once in `1/ALPHA` blocks (Fisher's exact test; the
binomial test for `failing`) and the fall is not trivial. So with steady traffic a false alarm of one kind
occurs once in 200,000 lookups. Blocks in alarm are left out of the comparison for later ones, until `SETTLE`
of them in a row show that the change is permanent.
"""

from collections import deque
from collections.abc import Mapping
from typing import Final, Literal

from farthing.stats.exact_tests import at_least, fewer_by_chance
from farthing.types import Receipt

LookupResult = Literal["served", "would_serve", "audited", "rejected", "none", "failed"]

BLOCK = 200
BEFORE_MAX = 20  # blocks to compare with
BEFORE_MIN = 2
SETTLE = 20
ALPHA = 0.001
FALL = 1 / 3  # a share that fell by less than this part of itself is no alarm, however significant
FAILED_MAX = 0.05

ALARMS: Final[Mapping[str, str]] = {
    "reach": "fewer requests are looked up: did requests gain tools, agent steps, or words "
    "that are never stored, or was the cache turned off?",
    "coverage": "fewer lookups find a similar stored question: did the system prompt, a parameter or the "
    "version of the documents begin to change with each request, or was the cache emptied?",
    "effect": "fewer lookups are answered: is the threshold higher, has the monitor tripped, is the traffic "
    "new?",
    "failing": "lookups fail or are late and are skipped: see the log for `step semantic skipped`, and "
    "brain.timeout_s",
    "loss": "embedding, judge and other background jobs cost more than the hits saved: lower audit_share, "
    "use a cheaper judge, or turn it off",
}
"""Advice for every alarm. `reach` and `loss` are raised by the report only."""


def lookup_result(receipt: Receipt) -> LookupResult | None:
    """The result of a client request's lookup; None if there was none.

    `none`: nothing was similar, or the request is of a kind that the cache never answers.
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
        """In the last complete block."""
        self.before: float | None = None
        """In the blocks it was compared with."""
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

    def add(self, result: LookupResult) -> None:
        """Take one lookup. A failed one says nothing about what it would have found."""
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
