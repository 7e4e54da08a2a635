"""A judge that errs is corrected by what people said of some of the same answers. Truth here is synthetic."""

import random
from collections import Counter
from collections.abc import Callable

import pytest

from farthing.guarantees.calibrate import judge_error
from farthing.guarantees.calibrate.judge_error import Estimate, Losses, Plan
from farthing.stats.loss_test import LossTest

TRIALS = 500
GOOD = 0.7
SLACK = 2 * (0.95 * 0.05 / TRIALS) ** 0.5  # two standard errors of a coverage that is 95 %

Rows = list[tuple[float, float]]


def lenient(chance: random.Random, n: int) -> Rows:
    """The judge's word and the truth: it lets half of the bad answers pass."""
    rows = []
    for _ in range(n):
        good = chance.random() < GOOD
        rows.append((float(chance.random() < (0.95 if good else 0.5)), float(good)))
    return rows


def graded(chance: random.Random, n: int) -> Rows:
    """Grades of a judge that never goes below a half."""
    rows = []
    for _ in range(n):
        truth = min(1.0, max(0.0, (0.8 if chance.random() < GOOD else 0.4) + chance.uniform(-0.2, 0.2)))
        rows.append((min(1.0, max(0.0, 0.5 + truth / 2 + chance.gauss(0, 0.05))), truth))
    return rows


GRADED_TRUTH = 0.7 * 0.8 + 0.3 * 0.4


def holds(estimate: Estimate | None, truth: float) -> bool:
    return estimate is not None and estimate.low <= truth <= estimate.high


def judged_alone(rows: Rows) -> Estimate | None:
    return judge_error.plain([judge for judge, _ in rows])


@pytest.mark.parametrize("labels", [60, 100, 300])
def test_the_corrected_share_covers_the_truth_and_the_judge_alone_never_does(labels: int) -> None:
    chance = random.Random(labels)
    covered = naive = 0
    for _ in range(TRIALS):
        rows = lenient(chance, 1_000)
        both = [(bool(judge), bool(person)) for judge, person in rows[:labels]]
        covered += holds(judge_error.share(both, [bool(judge) for judge, _ in rows[labels:]]), GOOD)
        naive += holds(judged_alone(rows), GOOD)
    assert covered / TRIALS >= 0.95
    assert naive / TRIALS < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("labels", [60, 300])
@pytest.mark.parametrize(("judge", "truth"), [(lenient, GOOD), (graded, GRADED_TRUTH)])
def test_the_corrected_mean_covers_the_truth_and_the_judge_alone_never_does(
    judge: Callable[[random.Random, int], Rows], truth: float, labels: int
) -> None:
    chance = random.Random(7 * labels)
    covered = naive = 0
    for _ in range(TRIALS):
        rows = judge(chance, 1_000)
        covered += holds(judge_error.mean(rows[:labels], [one for one, _ in rows[labels:]]), truth)
        naive += holds(judged_alone(rows), truth)
    assert covered / TRIALS >= 0.95 - SLACK  # it is 95 %, and some trials come out below
    assert naive / TRIALS < 0.05


def test_a_judge_that_goes_with_people_makes_the_interval_narrower_than_labels_alone() -> None:
    rows = graded(random.Random(1), 2_000)
    both = judge_error.mean(rows[:200], [judge for judge, _ in rows[200:]])
    alone = judge_error.plain([person for _, person in rows[:200]])
    assert both is not None and alone is not None
    assert both.high - both.low < 0.7 * (alone.high - alone.low)
    assert (both.n, both.labels, both.method) == (2_000, 200, "prediction-powered")


def test_a_judge_that_says_nothing_does_no_harm() -> None:
    chance = random.Random(2)
    rows = [(float(chance.random() < 0.5), float(chance.random() < GOOD)) for _ in range(2_000)]
    both = judge_error.mean(rows[:200], [judge for judge, _ in rows[200:]])
    alone = judge_error.plain([person for _, person in rows[:200]])
    assert both is not None and alone is not None
    assert both.high - both.low < 1.05 * (alone.high - alone.low)
    flipped = [(bool(judge), not person) for judge, person in lenient(chance, 300)]
    assert judge_error.share(flipped, []) is None  # worse than chance: nothing can be made of it


def test_few_labels_that_all_agree_with_a_lenient_judge_are_no_proof_that_it_is_right() -> None:
    chance = random.Random(8)
    held = 0
    for _ in range(TRIALS):
        rows: Rows = []
        for _ in range(500):
            good = chance.random() < 0.85
            rows.append((float(chance.random() < (0.97 if good else 0.5)), float(good)))
        held += holds(judge_error.mean(rows[:10], [judge for judge, _ in rows[10:]]), 0.85)
    assert held / TRIALS > 0.95 - SLACK


def test_few_labels_correct_nothing() -> None:
    assert judge_error.mean([(1.0, 1.0)] * 9, [1.0] * 100) is None
    assert judge_error.share([(True, True)] * 5 + [(False, False)] * 4, [True] * 100) is None
    assert judge_error.plain([]) is None


def test_values_that_are_all_the_same_are_no_proof_that_others_are_too() -> None:
    same = judge_error.plain([0.5] * 30)
    assert same is not None and same.low < 0.4 and same.high > 0.6
    good = judge_error.plain([1.0] * 30)
    assert good is not None and good.low < 0.9 and good.high == 1.0


# -- losses -------------------------------------------------------------------------------------------

TEST = LossTest(True, 0.0, 0.1)


def losses(chance: random.Random, true: float, n: int, labels: int, missed: float) -> Losses:
    """Of `n` decisions, as a judge sees them that does not see `missed` of the losses."""
    judged: Counter[float] = Counter()
    people: Counter[float] = Counter()
    differences: Counter[float] = Counter()
    for i in range(n):
        lost = float(chance.random() < true)
        seen = lost if chance.random() > missed * lost else 0.0
        judged[seen] += 1
        if i < labels:
            people[lost] += 1
            differences[lost - seen] += 1
    return Losses(judged, people, differences)


def shown(chance: random.Random, true: float, labels: int, missed: float) -> tuple[bool, bool]:
    """Whether a loss under 0.05 is shown: with labels, and by the judge alone."""
    plan = judge_error.planned(losses(chance, true, 400, labels // 3, missed), 0.05, TEST)
    tested = losses(chance, true, 1_200, labels, missed)
    with_labels = judge_error.p_value(tested, 0.05, plan, TEST) <= TEST.delta
    return with_labels, TEST.at_least(tested.judged, 0.05) <= TEST.delta


@pytest.mark.slow
@pytest.mark.parametrize("labels", [150, 400])
def test_a_loss_at_its_limit_is_taken_for_less_in_at_most_delta_of_the_trials(labels: int) -> None:
    chance = random.Random(labels)
    outcomes = [shown(chance, 0.05, labels, missed=0.4) for _ in range(400)]
    assert sum(corrected_ for corrected_, _ in outcomes) / 400 <= TEST.delta
    assert sum(naive for _, naive in outcomes) / 400 > 0.8


def test_what_a_judge_sees_well_needs_few_labels() -> None:
    chance = random.Random(5)
    outcomes = [shown(chance, 0.01, 300, missed=0.1) for _ in range(60)]
    assert sum(corrected_ for corrected_, _ in outcomes) / 60 > 0.9


def test_without_labels_to_test_on_nothing_is_shown() -> None:
    judged_only = Losses(Counter({0.0: 10_000}), Counter(), Counter())
    assert judge_error.p_value(judged_only, 0.05, Plan(None), TEST) == 1.0
    assert judge_error.p_value(judged_only, 0.05, Plan(0.02), TEST) == 1.0
    none_lost = Losses(Counter({0.0: 10_000}), Counter({0.0: 500}), Counter({0.0: 500}))
    assert (
        judge_error.p_value(none_lost, 0.05, Plan(0.06), TEST) == 1.0
    )  # a bias that leaves no room for loss


def test_an_interval_never_ends_before_it_begins_or_beyond_what_a_quality_can_be() -> None:
    """People are better pleased than the judge, and the answers they did not see look better still."""
    labelled = [(0.1 * (number % 3), 0.9 + 0.1 * (number % 3 > 0)) for number in range(30)]
    found = judge_error.mean(labelled, [1.0] * 500 + [0.9] * 500)
    assert found is not None
    assert 0.0 <= found.low <= found.mean <= found.high <= 1.0
