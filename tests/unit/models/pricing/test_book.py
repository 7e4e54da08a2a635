"""What is booked for a call: the provider's own word where it is taken, with ours beside it."""

from farthing.models.pricing.book import book
from farthing.types import Attempt, Pass, Price, Target, Usage

PRICE = Price(since="", input_pusd=1_000_000, output_pusd=2_000_000)
TARGET = Target(name="p/m", provider="p", model="m", price=PRICE)
WISER = Target(
    name="p/wiser", provider="p", model="wiser", price=Price(since="", input_pusd=7_000_000, output_pusd=0)
)
USAGE = Usage(input_tokens=10, output_tokens=5)


def booked(usage: Usage, target: Target = TARGET, before: Usage = USAGE) -> Attempt:
    attempt = Attempt(target=target.name, tier="", started_ms=0.0)
    book(attempt, target, before)
    book(attempt, target, usage, {"p/wiser": WISER}.get)
    return attempt


def money(attempt: Attempt) -> tuple[int | None, int | None, str]:
    return attempt.cost_nusd, attempt.reckoned_nusd, attempt.unpriced


def test_ours_where_nothing_is_told() -> None:
    assert money(booked(USAGE)) == (20_000, None, "")


def test_the_providers_word_with_ours_beside_it() -> None:
    told = Usage(input_tokens=10, output_tokens=5, told_nusd=7)
    assert money(booked(told)) == (7, 20_000, "")
    assert money(booked(told, Target(name="p/x", provider="p", model="x"))) == (7, None, "")
    assert money(booked(Usage(input_tokens=1, tier="flex", told_nusd=7))) == (7, None, "")


def test_unknown_and_why() -> None:
    assert money(booked(Usage(input_tokens=1, tier="flex"))) == (None, None, "tier flex")
    assert money(booked(USAGE, Target(name="p/x", provider="p", model="x"))) == (None, None, "")


def test_the_later_word_counts() -> None:
    assert money(booked(USAGE, before=Usage(input_tokens=1, tier="flex", told_nusd=7))) == (20_000, None, "")


def test_other_models_of_a_call_are_charged_by_their_own_price() -> None:
    own, theirs = Pass(usage=USAGE), Usage(input_tokens=3)
    runs = Usage(input_tokens=10, output_tokens=5, passes=(own, Pass(model="wiser", usage=theirs)))
    assert money(booked(runs)) == (41_000, None, "")
    unknown = Usage(input_tokens=10, output_tokens=5, passes=(own, Pass(model="new", usage=theirs)))
    assert money(booked(unknown)) == (None, None, "new tokens")
    slow = Pass(model="wiser", usage=Usage(input_tokens=3, tier="flex"))
    assert money(booked(Usage(passes=(own, slow)))) == (None, None, "wiser tier flex")
