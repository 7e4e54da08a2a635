"""What every `RouteAudit` promises."""

from collections.abc import Callable

import pytest
from tests.certified import ROUTER, certificate

from farthing.guarantees.monitor.routing import RouteMonitor
from farthing.guarantees.policy.applied import Policies
from farthing.guarantees.policy.versions import Author, add, promote
from farthing.protocols import RouteAudit
from farthing.types import Receipt

Made = tuple[RouteAudit, Callable[[], tuple[int, int]]]
"""One whose endpoint `faq` goes by version 1, and what it has counted: audits, and those that lost."""


def policies(tmp_path_factory: pytest.TempPathFactory) -> Made:
    from farthing.guarantees.policy import versions

    folder = tmp_path_factory.mktemp("state")
    anna = Author(who="anna", at_unix_s=1.0)
    versions.change(folder, "faq", lambda book: promote(add(book, certificate(), anna), 1, anna))
    found = Policies(versions.folder_of(folder), RouteMonitor(draw=lambda: 0.5))
    found.refresh()

    def counted() -> tuple[int, int]:
        state = found.watched()["faq@1"]
        return state.audits, state.wrong

    return found, counted


@pytest.fixture(params=[policies], ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    found: Made = request.param(tmp_path_factory)
    return found


def explored(request_id: str, score: float = 0.9, policy: str = "faq@1") -> Receipt:
    return Receipt(
        request_id=request_id,
        at_unix_s=1.0,
        started_s=0.0,
        endpoint="faq",
        route_score=score,
        route_policy=policy,
        route_by=ROUTER,
        tier="expensive",
        explored="cheap",
    )


def test_a_loss_counts_when_it_is_known(made: Made) -> None:
    audit, counted = made
    audit.opened(explored("r1"))
    assert counted() == (0, 0)
    audit.lost("r1", 1.0)
    assert counted() == (1, 1)


def test_what_the_policy_keeps_with_the_expensive_tier_is_no_loss_whatever_is_said(made: Made) -> None:
    audit, counted = made
    audit.opened(explored("r1", score=0.1))
    assert counted() == (0, 0)
    audit.lost("r1", 1.0)
    assert counted() == (1, 0)


def test_a_loss_that_will_never_be_known_is_no_evidence(made: Made) -> None:
    audit, counted = made
    audit.opened(explored("r1"))
    audit.lost("r1", None)
    audit.lost("r1", 1.0)
    assert counted() == (0, 0)


def test_requests_that_no_version_decided_or_that_were_not_opened_are_ignored(made: Made) -> None:
    audit, counted = made
    audit.opened(explored("r1", policy=""))
    audit.opened(explored("r2", policy="other@4"))
    for request_id in ("r1", "r2", "r3"):
        audit.lost(request_id, 1.0)
    assert counted() == (0, 0)
