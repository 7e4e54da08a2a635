"""Failures of a provider, met by OpenAI's own client directly and through the gateway: never worse there.

All questions are asked first, at once where they do not depend on each other; the tests look at what came.
`python -m benchmarks.never_worse` prints the same as a table.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.clients.lab import FORMS, Form, Lab, Met, Outcome, lab, meet_all, worse
from tests.clients.scenarios import REFUSES, SCENARIOS, Scenario

pytestmark = pytest.mark.timeout(180)  # of which a quiet machine needs 15 s

ROUNDS = 3
"""How often what passes is met, one after the other: what one question met must not hurt the next."""

CALLS_MAX = 3 + 1
"""What the client itself makes of one question, and the one retry that a target's budget always has."""

SICK = next(each for each in SCENARIOS if each.second != "good")
EVERY = [pytest.param(each, id=each.slug) for each in SCENARIOS]
HEALTHY = [pytest.param(each, id=each.slug) for each in SCENARIOS if each is not SICK]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(SCENARIOS, tmp_path_factory.mktemp("never-worse")) as found:
        yield found


@pytest.fixture(scope="module")
def met(place: Lab) -> Met:
    return meet_all(place, SCENARIOS, ROUNDS, lasting_rounds=1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scenario", HEALTHY)
def test_a_healthy_second_target_answers(met: Met, scenario: Scenario, form: Form) -> None:
    for outcome in met[scenario, form, "pair"]:
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


@pytest.mark.parametrize("form", ["whole", "streamed"])
@pytest.mark.parametrize("scenario", EVERY)
def test_retries_of_the_gateway_do_not_multiply_those_of_its_client(
    place: Lab, met: Met, scenario: Scenario, form: Form
) -> None:
    for outcome in met[scenario, form, "alone"]:
        asked = f'"{outcome.asked}"'.encode()
        calls = sum(asked in call.body for call in place.first.calls)
        assert (scenario.script(form) == REFUSES) == (calls == 0)
        assert calls <= CALLS_MAX, (calls, outcome)


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
        asked = [pool.submit(place.ask, door, stream=form == "streamed") for _ in range(10)]
        outcomes = [each.result() for each in asked]
    assert [each.answered for each in outcomes] == [True] * 10, outcomes


@pytest.mark.parametrize("slug", ["cut", "error-event-in-the-middle", "malformed-chunk"])
def test_a_target_whose_streams_keep_breaking_is_left_for_the_healthy_one(
    place: Lab, met: Met, slug: str
) -> None:
    """`met` comes first: it wants to see them break."""
    door = place.door(next(each for each in SCENARIOS if each.slug == slug), "streamed", "pair")
    outcomes = [place.ask(door, stream=True) for _ in range(20)]
    assert outcomes[-1].answered, outcomes[-1]


@pytest.mark.conformance
@pytest.mark.timeout(900)
def test_at_length_no_question_is_served_worse(tmp_path: Path) -> None:
    """The same faults for longer, so that what they leave behind in the gateway is there to be seen."""
    passing = [each for each in SCENARIOS if each.ends == "answers"]
    with lab(SCENARIOS, tmp_path) as place:
        met = meet_all(place, SCENARIOS, 40, lasting_rounds=10)
    complaints = [
        f"{scenario.name}, {form}: {worse(direct, through)}"
        for scenario in passing
        for form in ("whole", "streamed")
        for direct, through in zip(met[scenario, form, "direct"], met[scenario, form, "alone"], strict=True)
        if worse(direct, through)
    ]
    assert complaints == []
    through = [each for (_, _, way), outcomes in met.items() if way != "direct" for each in outcomes]
    assert [each for each in through if each.silently_short] == []


def told_of_a_break(outcome: Outcome) -> None:
    """An error event after a part of the answer: not an end of the connection, and never a success."""
    assert outcome.error == "APIError", outcome
    whole = f"echo: {outcome.asked}"
    assert outcome.text and whole.startswith(outcome.text) and outcome.text != whole, outcome
