"""Where a stored chat completion is, by the receipt of the request that made it."""

import pytest

from farthing.edge.stored_completions.noting import _lane_of
from farthing.types import Attempt, Receipt


def attempt(target: str, tier: str, lane: str, error: str | None = None) -> Attempt:
    return Attempt(target=target, tier=tier, started_ms=0.0, lane=lane, error=error)


@pytest.mark.parametrize(
    ("attempts", "lane"),
    [
        ([attempt("a/x", "cheap", "key 1")], "key 1"),
        ([attempt("a/x", "cheap", "key 1", "provider_busy"), attempt("a/x", "cheap", "key 2")], "key 2"),
        ([attempt("a/x", "cheap", "key 1"), attempt("a/x", "cheap", "key 2", "hedge_lost")], "key 1"),
        ([attempt("a/x", "cheap", "key 1"), attempt("a/x", "check:consistency", "key 2")], "key 1"),
        ([attempt("b/y", "check:judge", "key 9"), attempt("a/x", "cheap", "")], ""),
    ],
)
def test_the_lane_is_that_of_the_attempt_that_answered(attempts: list[Attempt], lane: str) -> None:
    receipt = Receipt(request_id="r", at_unix_s=0.0, started_s=0.0, target="a/x", tier="cheap")
    receipt.attempts = attempts
    assert _lane_of(receipt) == lane
