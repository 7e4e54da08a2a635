"""The same failures met by Anthropic's own client, from providers of Messages: never worse there either."""

from collections.abc import Iterator

import pytest
from tests.clients.lab import Form, Lab, Met, lab, meet_all, worse
from tests.clients.scenarios import SCENARIOS, Scenario

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROUNDS = 2
CALLS_MAX = 3 + 1
"""What the client itself makes of one question, and the one retry that a target's budget always has."""

SICK = next(each for each in SCENARIOS if each.second != "good")
FORMS: tuple[Form, ...] = ("whole", "streamed")
EVERY = [pytest.param(each, id=each.slug) for each in SCENARIOS]
HEALTHY = [pytest.param(each, id=each.slug) for each in SCENARIOS if each is not SICK]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(SCENARIOS, tmp_path_factory.mktemp("never-worse-messages"), speech="anthropic") as found:
        yield found


@pytest.fixture(scope="module")
def met(place: Lab) -> Met:
    return meet_all(place, SCENARIOS, ROUNDS, lasting_rounds=1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scenario", HEALTHY)
def test_a_healthy_second_target_answers(met: Met, scenario: Scenario, form: Form) -> None:
    for outcome in met[scenario, form, "pair"]:
        if scenario.ends == "breaks" and form == "streamed":
            assert outcome.error is not None and not outcome.silently_short, outcome
        else:
            assert outcome.answered, outcome


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scenario", EVERY)
def test_one_target_alone_is_never_worse_than_without_the_gateway(
    met: Met, scenario: Scenario, form: Form
) -> None:
    direct, through = met[scenario, form, "direct"], met[scenario, form, "alone"]
    assert [worse(one, other) for one, other in zip(direct, through, strict=True)] == [""] * len(direct)
    if scenario.ends == "answers":
        assert [each.answered for each in through] == [True] * len(through), through


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("scenario", EVERY)
def test_retries_of_the_gateway_do_not_multiply_those_of_its_client(
    place: Lab, met: Met, scenario: Scenario, form: Form
) -> None:
    for outcome in met[scenario, form, "alone"]:
        calls = sum(f'"{outcome.asked}"'.encode() in call.body for call in place.first.calls)
        assert calls <= CALLS_MAX, (calls, outcome)
