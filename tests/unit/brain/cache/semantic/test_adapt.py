"""A stored answer is filled anew only where nothing else in it can depend on what changes."""

import pytest
from tests.semantic import said, streamed

from farthing.brain.cache.semantic.adapt import adapt, needs_adapting, values_of
from farthing.text.answer_text import agree, text_of, with_text
from farthing.types import Slot

ALL: tuple[Slot, ...] = ("name", "amount", "date")


def test_values_are_found_in_their_order() -> None:
    found = values_of("Remind Maria, no: write to Maria Lopez that $1,200.50 is due on 3 May 2025", ALL)
    assert [(value.kind, value.text) for value in found] == [
        ("name", "Maria Lopez"),
        ("amount", "$1,200.50"),
        ("date", "3 May 2025"),
    ]


@pytest.mark.parametrize(
    ("asked", "stored", "answer", "filled"),
    [
        (
            "Write a reminder of the $55 invoice",
            "Write a reminder of the $40 invoice",
            "Please pay the $40 invoice.",
            "Please pay the $55 invoice.",
        ),
        (
            "Write a note for Jo Smith",
            "Write a note for Maria",
            "Dear Maria, all is well.",
            "Dear Jo Smith, all is well.",
        ),
        (
            "Announce the closing on 4 May",
            "Announce the closing on 12 June",
            "The shop is closed on 12 June. Sorry!",
            "The shop is closed on 4 May. Sorry!",
        ),
        (
            "Confirm $5 and $6",
            "Confirm $6 and $5",
            "First $6, then $5.",
            "First $5, then $6.",
        ),
    ],
)
def test_a_template_is_filled(asked: str, stored: str, answer: str, filled: str) -> None:
    done = adapt(asked, stored, answer, ALL)
    assert done is not None and done.answer == filled
    assert done.asked == done.stored, "with values masked both ask the same"


@pytest.mark.parametrize(
    ("asked", "stored", "answer"),
    [
        pytest.param("Pay $55", "Pay $40", "That is $40, 8% of it $3.20.", id="another number"),
        pytest.param("Pay $55", "Pay $40", "You pay forty dollars: $40.", id="in words too"),
        pytest.param("Pay $55", "Pay $40", "It is done.", id="the value is not in the answer"),
        pytest.param("Pay $55", "Pay $40", "You pay $400, ten times $40.", id="part of another"),
        pytest.param("Pay $55 and $6", "Pay $40", "You pay $40.", id="more values than before"),
        pytest.param("Pay on 3 May", "Pay $40", "You pay $40.", id="another kind"),
        pytest.param("Pay $5 and $6", "Pay $4 and $4", "You pay $4 and $4.", id="one value stood for two"),
        pytest.param(
            "Write to Jo", "Write to Maria", "Dear Maria, she will see it.", id="a person beside it"
        ),
        pytest.param("Write to Jo", "Write to Maria", "Dear Maria, ask Peter there.", id="another name"),
        pytest.param("Close on 4 May", "Close on 3 May", "Closed on 3 May, a Monday.", id="a weekday"),
        pytest.param(
            "Close on 4 May", "Close on 3 May", "Closed on 3 May, open a day after.", id="a day after"
        ),
        pytest.param("Pay " + "$1" * 1 + "0" * 80, "Pay $40", "You pay $40.", id="a value too long"),
        pytest.param("How do I pay?", "Pay $40", "You pay $40.", id="no value asked for"),
    ],
)
def test_what_is_unclear_is_a_miss(asked: str, stored: str, answer: str) -> None:
    assert adapt(asked, stored, answer, ALL) is None
    assert needs_adapting(asked, stored, ALL), "so the stored answer is not served as it is either"


def test_only_the_kinds_that_are_allowed_are_filled() -> None:
    assert adapt("Pay $55", "Pay $40", "You pay $40.", ("date",)) is None
    assert not needs_adapting("Pay $55", "Pay $40", ("date",)), "the verifier sees the amounts, then"


@pytest.mark.parametrize("hit", [said("You pay $40."), streamed("You pay ", "$4", "0.")])
def test_the_answer_keeps_its_form(hit: object) -> None:
    filled = with_text(hit, "You pay $55.")  # type: ignore[arg-type]
    assert filled is not None and text_of(filled) == "You pay $55."


def test_an_answer_without_any_text_cannot_be_filled() -> None:
    assert with_text(streamed(), "x") is None


@pytest.mark.parametrize(
    ("fresh", "stored", "same"),
    [
        ("Within 30 days.", "within **30** days", True),
        ("It costs 1,000 euros", "It costs 1000 euros!", True),
        ("It costs 1.5 euros", "It costs 15 euros", False),
        ("It costs -5", "It costs 5", False),
        ("A before B", "B before A", False),
        ("You may", "You may not", False),
        ("50%", "50", False),
        ("Ünïcode ß", "ünïcode ß", True),
        ("👍", "👎", False),
        ("❤️ it", "❤ it", True),
        ("Use a == b", "Use a === b", False),
        ("กิน", "กัน", False),
    ],
)
def test_answers_agree_by_their_words(fresh: str, stored: str, same: bool) -> None:
    assert agree(fresh, stored) is same


def test_what_is_not_one_plain_text_has_no_text() -> None:
    import msgspec

    from farthing.types import replace

    def body(**message: object) -> bytes:
        return msgspec.json.encode({"choices": [{"message": message}]})

    hit = said("x")
    assert text_of(replace(hit, body=body(content="yes", reasoning_content="thought"))) == "yes"
    for odd in (
        body(content=None, tool_calls=[{"id": "1"}]),
        body(content="no", refusal="I will not"),
        body(content=[{"type": "text"}]),
        body(content="x", audio={"data": ""}),
        msgspec.json.encode({"choices": []}),
        b"not json",
    ):
        assert text_of(replace(hit, body=odd)) is None
