"""Failures of a provider, met by OpenAI's own client directly and through the gateway: never worse there.

All questions are asked first, at once where they do not depend on each other; the tests look at what came.
`benchmarks/never_worse.py` prints the same as a table.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from tests.clients.lab import FORMS, Form, Lab, Outcome, Way, ask, lab, worse
from tests.clients.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.timeout(180)  # of which a quiet machine needs 15 s

ROUNDS = 3
"""How often a fault that passes is met, one after the other, so that one leaves no trace for the next."""

SICK = next(each for each in SCENARIOS if each.second != "good")
EVERY = [pytest.param(each, id=each.slug) for each in SCENARIOS]
HEALTHY = [pytest.param(each, id=each.slug) for each in SCENARIOS if each is not SICK]

Met = dict[tuple[Scenario, Form, Way], list[Outcome]]


def meet(place: Lab, scenario: Scenario, form: Form, way: Way) -> list[Outcome]:
    """Ask for a scenario, as often as tells something."""
    patience_s = 30.0 if way == "pair" else scenario.patience_s
    door = place.door(scenario, form, way)
    return [
        ask(door, place.question(), stream=form == "streamed", patience_s=patience_s)
        for _ in range(ROUNDS if scenario.ends == "answers" and way != "pair" else 1)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(SCENARIOS, tmp_path_factory.mktemp("never-worse")) as found:
        yield found


@pytest.fixture(scope="module")
def met(place: Lab) -> Met:
    ways: dict[Form, tuple[Way, ...]] = {
        "whole": ("direct", "alone", "pair"),
        "streamed": ("direct", "alone", "pair"),
        "gathered": ("alone", "pair"),  # a form of the gateway's own
    }
    with ThreadPoolExecutor(32) as pool:
        asked: dict[tuple[Scenario, Form, Way], Future[list[Outcome]]] = {
            (scenario, form, way): pool.submit(meet, place, scenario, form, way)
            for scenario in SCENARIOS
            for form in FORMS
            for way in ways[form]
        }
        return {key: future.result() for key, future in asked.items()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scenario", HEALTHY)
def test_a_healthy_second_target_answers(met: Met, scenario: Scenario, form: Form) -> None:
    (outcome,) = met[scenario, form, "pair"]
    if scenario.ends == "breaks" and form == "streamed":
        told_of_a_break(outcome)
    else:
        assert outcome.answered, outcome


@pytest.mark.parametrize("form", ["whole", "streamed"])
@pytest.mark.parametrize("scenario", EVERY)
def test_one_target_alone_is_never_worse_than_without_the_gateway(
    met: Met, scenario: Scenario, form: Form
) -> None:
    direct, through = met[scenario, form, "direct"], met[scenario, form, "alone"]
    passes = scenario.ends == "answers"
    assert [each.answered for each in direct] == [passes] * len(direct), f"not what {scenario.name} means"
    assert [worse(one, other) for one, other in zip(direct, through, strict=True)] == [""] * len(direct)
    if scenario.ends == "breaks" and form == "streamed":
        told_of_a_break(through[0])


@pytest.mark.parametrize("scenario", [pytest.param(s, id=s.slug) for s in SCENARIOS if s.ends == "answers"])
def test_an_answer_that_a_deadline_may_cut_is_gathered_in_spite_of_it(met: Met, scenario: Scenario) -> None:
    assert [each.answered for each in met[scenario, "gathered", "alone"]] == [True] * ROUNDS


@pytest.mark.parametrize("form", FORMS)
def test_where_both_targets_are_sick_both_are_named_in_their_own_words(met: Met, form: Form) -> None:
    (outcome,) = met[SICK, form, "pair"]
    assert outcome.error == "InternalServerError", outcome
    for name, words in (("soon", "asked for a 500"), ("second", "asked for a 503")):
        assert f"{name}" in outcome.message and words in outcome.message, outcome.message


@pytest.mark.parametrize("form", ["whole", "streamed"])
@pytest.mark.parametrize("script", ["500-once", "503-once-in-html", "408-once"])
def test_ten_at_once_that_each_meet_one_failure_all_get_their_answer(
    place: Lab, script: str, form: Form
) -> None:
    scenario = next(each for each in SCENARIOS if each.slug == script)
    door = place.door(scenario, form, "alone", "crowd")
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(ask, door, place.question(), stream=form == "streamed") for _ in range(10)]
        outcomes = [each.result() for each in asked]
    assert [each.answered for each in outcomes] == [True] * 10, outcomes


def told_of_a_break(outcome: Outcome) -> None:
    """An error event after a part of the answer: not an end of the connection, and never a success."""
    assert outcome.error == "APIError", outcome
    whole = f"echo: {outcome.asked}"
    assert outcome.text and whole.startswith(outcome.text) and outcome.text != whole, outcome
