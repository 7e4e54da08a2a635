"""Versions held against each other: each on its own requests, quality on the explored ones of both."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from tests.certified import ROUTER, certificate

from farthing.guarantees.policy.versions import Author, PolicyBook, add, canary, promote
from farthing.insight.policies.compare import compare
from farthing.insight.policies.text import comparison
from farthing.ledger.read import Row
from farthing.stats.intervals import difference, mean, paired, quantile, share
from farthing.types import Receipt, Signal, replace

ANNA = Author(who="anna", at_unix_s=1.0)


def book_of(*thresholds: float) -> PolicyBook:
    """Version 1 serves, version 2 is on trial."""
    book = PolicyBook(endpoint="faq")
    for threshold in thresholds:
        book = add(book, certificate(threshold=threshold), ANNA)
    return canary(promote(book, 1, ANNA), 2, 0.5, ANNA)


def receipt(number: int, label: str, **changes: Any) -> Receipt:
    given: dict[str, Any] = {
        "tenant": "acme",
        "endpoint": "faq",
        "tier": "expensive",
        "status": 200,
        "cost_nusd": 1_000_000,
        "baseline_nusd": 1_000_000,
        "total_ms": 500.0,
        "route_policy": label,
        "route_by": ROUTER,
        "route_score": 0.5,
        **changes,
    }
    return Receipt(request_id=f"r{number}", at_unix_s=float(number), started_s=0.0, **given)


def said(number: int, quality: float, **changes: Any) -> Signal:
    given: dict[str, Any] = {"source": "judge", "tenant": "acme", "endpoint": "faq", **changes}
    return Signal(request_id=f"r{number}", at_unix_s=float(number), quality=quality, **given)


def traffic(n: int, *, cheap_quality: float = 1.0, explored: float = 0.2, seed: int = 1) -> Iterator[Row]:
    """Version 1 sends scores from 0.8 on to the cheap tier, version 2 from 0.4 on."""
    chance = random.Random(seed)
    for number in range(n):
        label, floor = chance.choice([("faq@1", 0.8), ("faq@2", 0.4)])
        score = chance.random()
        if chance.random() < explored:
            yield receipt(number, label, route_score=score, explored="cheap")
            good = float(chance.random() < cheap_quality)
            yield said(number, good, tier="cheap", other="expensive", kind="pairwise")
            yield said(number, 1.0, tier="expensive", other="cheap", kind="pairwise")
            continue
        goes = score >= floor
        yield receipt(
            number,
            label,
            route_score=score,
            tier="cheap" if goes else "expensive",
            cost_nusd=100_000 if goes else 1_000_000,
            total_ms=chance.gauss(300 if goes else 500, 20),
        )


def test_the_version_on_trial_is_shown_to_cost_less_and_to_lose_nothing() -> None:
    found = compare(traffic(2_000), book_of(0.8, 0.4))
    one, two = found.versions
    assert (one.policy, one.arm, two.policy, two.arm) == ("faq@1", "serving", "faq@2", "candidate")
    assert one.cheap_share.value == pytest.approx(0.2, abs=0.05)
    assert two.cheap_share.value == pytest.approx(0.6, abs=0.05)
    cost = found.differences["cost_nusd"]
    assert cost.verdict == "lower" and cost.value == pytest.approx(-360_000, rel=0.2)
    assert found.differences["saved_nusd"].verdict == "higher"
    assert found.differences["judged"].verdict == "not shown" and found.differences["judged"].value == 0
    assert not found.few and "the candidate costs $0.000" in found.verdict
    text = "\n".join(comparison(found))
    assert "faq@2, candidate" in text and "goes cheap" in text and "judged quality" in text


def test_a_version_that_answers_worse_is_shown_to() -> None:
    found = compare(traffic(2_000, cheap_quality=0.6), book_of(0.8, 0.4))
    judged = found.differences["judged"]
    assert judged.verdict == "lower" and judged.value == pytest.approx(-0.16, abs=0.05)
    assert "judged quality is WORSE by 0.1" in found.verdict


def test_explored_requests_of_both_versions_tell_of_each() -> None:
    rows = list(traffic(600))
    explored = sum(isinstance(row, Receipt) and bool(row.explored) for row in rows)
    found = compare(rows, book_of(0.8, 0.4))
    assert [one.judged.n for one in found.versions] == [explored, explored]
    assert sum(one.explored for one in found.versions) == explored
    assert sum(one.requests for one in found.versions) == 600 - explored


def test_what_another_router_scored_says_nothing_of_a_version() -> None:
    rows = list(traffic(600))
    for number in range(1_000, 1_400):  # of an older router, whose high scores were of bad answers
        rows.append(receipt(number, "faq@1", route_score=0.99, route_by="older/1", explored="cheap"))
        rows += [said(number, 0.0, tier="cheap", other="expensive", kind="pairwise")]
        rows += [said(number, 1.0, tier="expensive", other="cheap", kind="pairwise")]
    assert compare(rows, book_of(0.8, 0.4)).versions[0].judged.value == 1.0


def test_where_checks_could_tell_the_judge_is_not_heard_here_either() -> None:
    rows: list[Row] = [receipt(1, "faq@1", route_score=0.9, explored="cheap")]
    for source, cheap in (("judge", 0.0), ("check", 1.0)):
        rows.append(said(1, cheap, source=source, tier="cheap", other="expensive", kind=source))
        rows.append(said(1, 1.0, source=source, tier="expensive", other="cheap", kind=source))
    assert compare(rows, book_of(0.8, 0.4)).versions[0].judged.value == 1.0


def test_too_few_requests_conclude_nothing_and_say_how_many_more() -> None:
    found = compare(traffic(60), book_of(0.8, 0.4))
    assert found.few and found.verdict.startswith("not enough requests: about ")


def test_without_a_trial_nothing_is_compared() -> None:
    book = promote(add(PolicyBook(endpoint="faq"), certificate(), ANNA), 1, ANNA)
    found = compare(traffic(100), book)
    assert found.candidate == "" and not found.differences and "no version is on trial" in found.verdict


def test_the_configuration_is_judged_by_its_own_threshold_where_it_is_known() -> None:
    book = canary(add(PolicyBook(endpoint="faq"), certificate(threshold=0.4), ANNA), 1, 0.5, ANNA)
    rows = [row for row in traffic(600, cheap_quality=0.5)]
    unknown = compare(rows, book)
    assert unknown.versions[0].number == 0 and unknown.versions[0].judged.value is None
    known = compare(rows, book, threshold=0.8)
    assert known.versions[0].judged.value is not None and known.differences["judged"].verdict == "lower"


def test_what_people_and_checks_say_counts_for_the_answer_that_the_client_got() -> None:
    rows: list[Row] = [receipt(1, "faq@1"), receipt(2, "faq@2", tier="cheap")]
    rows += [
        said(1, 0.0, source="feedback"),
        said(2, 1.0, source="feedback", tier="cheap"),
        said(2, 0.0, source="feedback", tenant="other"),  # not whose request it was
        said(2, 0.75, kind="rubric"),
        said(2, 0.0, source="check", tier="expensive"),  # another answer than the client's
        said(2, 0.0, source="reask"),
    ]
    one, two = compare(rows, book_of(0.8, 0.4)).versions
    assert (one.feedback.value, two.feedback.value) == (0.0, 1.0)
    assert (one.rated.n, two.rated.value) == (0, 0.75)


def test_errands_other_endpoints_and_requests_without_a_version_are_left_out() -> None:
    rows: list[Row] = [
        receipt(1, ""),
        receipt(2, "faq@1", purpose="judge"),
        receipt(3, "faq@1", endpoint="other"),
        receipt(4, "faq@1", status=500, cost_nusd=None),
    ]
    one, two = compare(rows, book_of(0.8, 0.4)).versions
    assert (one.requests, two.requests) == (1, 0)
    assert one.error_rate.value == 1.0 and one.cost_nusd.value is None


# -- the figures --------------------------------------------------------------------------------------


def test_intervals_hold_the_truth_in_some_95_of_100_samples() -> None:
    chance, held = random.Random(3), {"mean": 0, "share": 0, "p95": 0, "difference": 0}
    for _ in range(400):
        values = [chance.gauss(10, 3) for _ in range(60)]
        other = [chance.gauss(8, 3) for _ in range(60)]
        count = sum(chance.random() < 0.1 for _ in range(80))
        uniform = [chance.random() for _ in range(200)]
        for name, found, truth in (
            ("mean", mean(values), 10.0),
            ("share", share(count, 80), 0.1),
            ("p95", quantile(uniform, 0.95), 0.95),
            ("difference", difference(mean(values), mean(other)), 2.0),
        ):
            assert found.low is not None and found.high is not None
            held[name] += found.low <= truth <= found.high
    assert all(0.91 <= count / 400 <= 1.0 for count in held.values()), held


def test_what_is_not_shown_says_how_many_more_would_show_it() -> None:
    found = difference(share(12, 100), share(8, 100))
    assert found.verdict == "not shown" and found.more_needed is not None
    n = (200 + found.more_needed) // 2
    assert difference(share(round(0.125 * n), n), share(round(0.075 * n), n)).verdict == "higher"


def test_too_little_has_no_bounds_and_equal_pairs_are_not_certain() -> None:
    assert mean([]).value is None and mean([3.0]).low is None
    assert quantile([1.0, 2.0], 0.95).low is None
    assert difference(mean([]), mean([1.0])).value is None
    few, many = paired([0.0] * 10), paired([0.0] * 10_000)
    assert few.low is not None and few.low < -0.2
    assert many.low is not None and many.low > -0.001


def test_who_changes_their_mind_is_heard_once() -> None:
    rows: list[Row] = [receipt(1, "faq@1"), receipt(2, "faq@1")]
    rows += [said(number, 0.0, source="feedback", kind="thumb") for number in (1, 1, 1, 2)]
    rows.append(replace(said(1, 1.0, source="feedback", kind="thumb"), at_unix_s=9.0))
    one = next(version for version in compare(rows, book_of(0.8, 0.4)).versions if version.number == 1)
    assert (one.feedback.n, one.feedback.value) == (2, 0.5)
