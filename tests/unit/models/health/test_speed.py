"""What is known of how fast targets answer."""

import random

import pytest
from tests.asking import asked

from farthing.models.health.speed import FRESH_S, OUTPUT_TOKENS, SAMPLES_MIN, Lengths, Speed, expectation
from farthing.types import Endpoint, Target, replace

TARGET = Target(name="a/small", provider="a", model="small")


def fed(*, streamed: bool, tokens: list[int], first_s: float = 0.5, per_s: float = 50.0) -> Speed:
    speed = Speed()
    for count in tokens:
        total_s = first_s + count / per_s
        speed.took(count, total_s, first_s if streamed else None, 1_000.0)
    return speed


@pytest.mark.parametrize("streamed", [True, False])
def test_first_token_and_speed_are_found_from_streams_and_from_whole_answers(streamed: bool) -> None:
    chance = random.Random(7)
    speed = fed(streamed=streamed, tokens=[chance.randrange(20, 400) for _ in range(40)])
    assert speed.first_token_s == pytest.approx(0.5, abs=0.03)
    assert speed.tokens_per_s == pytest.approx(50.0, rel=0.05)
    assert speed.expected_s(200, 1_000.0) == pytest.approx(4.5, rel=0.05)


def test_equal_lengths_still_tell_how_long_such_an_answer_takes() -> None:
    speed = fed(streamed=False, tokens=[100] * 10)
    assert speed.expected_s(100, 1_000.0) == pytest.approx(2.5)


def test_noise_makes_no_negative_times() -> None:
    speed = Speed()
    for tokens, total_s in ((10, 3.0), (200, 1.0), (400, 0.5), (20, 2.5), (300, 0.7)):
        speed.took(tokens, total_s, None, 1_000.0)
    for tokens in (0, 1, 50, 10_000):
        expected_s = speed.expected_s(tokens, 1_000.0)
        assert expected_s is not None and expected_s >= 0.0


def test_nothing_is_known_before_a_few_answers_nor_long_after_the_last() -> None:
    speed = fed(streamed=True, tokens=[50] * (SAMPLES_MIN - 1))
    assert speed.expected_s(100, 1_000.0) is None
    speed.took(50, 1.5, 0.5, 1_000.0)
    assert speed.expected_s(100, 1_000.0) is not None
    assert speed.expected_s(100, 1_000.0 + FRESH_S + 1) is None
    speed.took(50, 1.5, 0.5, 1_000.0 + 2 * FRESH_S)
    assert speed.expected_s(100, 1_000.0 + 2 * FRESH_S) is None, "it begins anew"
    assert Speed().first_token_s is None and Speed().tokens_per_s is None


def test_a_target_that_becomes_slow_is_slow_after_twenty_answers() -> None:
    speed = fed(streamed=True, tokens=[100] * 200)
    for _ in range(20):
        speed.took(100, 10.0, 2.0, 1_001.0)
    expected_s = speed.expected_s(100, 1_001.0)
    assert expected_s is not None and expected_s > 8.0


def test_silence_until_a_deadline_says_that_it_takes_longer() -> None:
    speed = Speed()
    for _ in range(SAMPLES_MIN):
        speed.silent(3.0, 1_000.0)
    expected_s = speed.expected_s(400, 1_000.0)
    assert expected_s is not None and 3.5 < expected_s < 6.0
    known = fed(streamed=True, tokens=[100] * 10)
    before_s = known.expected_s(100, 1_000.0)
    known.silent(0.1, 1_000.0)
    assert known.expected_s(100, 1_000.0) == before_s, "a shorter silence says nothing"


def test_an_answer_is_expected_to_be_as_long_as_those_of_its_endpoint() -> None:
    lengths = Lengths()
    faq = replace(asked(), endpoint=Endpoint(name="faq"))
    assert lengths.expected(faq) == OUTPUT_TOKENS
    for _ in range(20):
        lengths.note("faq", 30)
        lengths.note("essays", 900)
    assert lengths.expected(faq) == pytest.approx(30)
    assert lengths.expected(replace(asked(), endpoint=Endpoint(name="essays"))) == pytest.approx(900)
    assert lengths.expected(replace(faq, output_tokens_max=10)) == 10


def test_what_routers_are_told_is_of_the_target_and_the_request() -> None:
    known = {"a/small": fed(streamed=True, tokens=[100] * 10)}
    expected_s = expectation(known.get, Lengths(), lambda: 1_000.0)
    found = expected_s(TARGET, replace(asked(), output_tokens_max=50))
    assert found == pytest.approx(1.5, rel=0.1)
    assert expected_s(replace(TARGET, name="a/other"), asked()) is None
