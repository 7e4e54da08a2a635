"""What the deny rules block, and what their message gives away."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farthing.config import GuardRule
from farthing.errors import Blocked
from farthing.evaluation.guard import WINDOW_CHARS, DenyGuard, guard_request
from farthing.types import DEFAULT_ENDPOINT, Json, Request, Tenant

GUARD = DenyGuard(
    [
        GuardRule(name="project", contains=("Operation  Nightjar", "STRASSE")),
        GuardRule(name="secrets", contains=("begin private key",), message="Keys do not belong here."),
    ]
)


@pytest.mark.parametrize(
    "text",
    ["operation nightjar", "about OPERATION\n\t Nightjar, please", "xoperation nightjarx", "Straße"],
)
def test_a_phrase_is_found_whatever_its_case_and_white_space(text: str) -> None:
    with pytest.raises(Blocked):
        GUARD.check(text)


@pytest.mark.parametrize("text", ["", "operation", "nightjar operation", "operation-nightjar"])
def test_other_text_passes(text: str) -> None:
    GUARD.check(text)


def test_the_message_names_the_rule_and_never_the_text() -> None:
    with pytest.raises(Blocked) as blocked:
        GUARD.check("Operation Nightjar at noon")
    assert "project" in str(blocked.value)
    assert "ightjar" not in str(blocked.value)
    assert "noon" not in str(blocked.value)


def test_a_rule_may_have_its_own_message() -> None:
    with pytest.raises(Blocked, match=r"^Keys do not belong here\.$"):
        GUARD.check("-----BEGIN PRIVATE KEY-----")


@given(st.text(), st.text())
def test_a_phrase_is_found_wherever_it_stands(before: str, after: str) -> None:
    with pytest.raises(Blocked):
        GUARD.check(f"{before} operation nightjar {after}")


@pytest.mark.slow
@given(st.text())
def test_without_rules_everything_passes(text: str) -> None:
    DenyGuard([]).check(text)
    DenyGuard([GuardRule(name="empty", contains=("", "  "))]).check(text)


FILLERS = ("x", " ", "operation ", "operation\n", "é", "ß ")


@pytest.mark.slow
@given(
    st.integers(WINDOW_CHARS - 60, WINDOW_CHARS + 60),
    st.sampled_from(FILLERS),
    st.sampled_from(["operation nightjar", "OPERATION \t\n NIGHTJAR", "strasse", "STRAẞE"]),
)
@settings(max_examples=150, deadline=None)
def test_a_phrase_is_found_across_the_windows_of_a_long_text(before: int, filler: str, phrase: str) -> None:
    text = (filler * before)[:before] + " " + phrase + filler * (WINDOW_CHARS // len(filler))
    with pytest.raises(Blocked):
        GUARD.check(text)


def test_the_words_of_a_phrase_may_be_any_length_of_white_space_apart() -> None:
    with pytest.raises(Blocked):
        GUARD.check("operation" + " \n" * 2 * WINDOW_CHARS + "nightjar")
    GUARD.check("operation" + " \n" * 2 * WINDOW_CHARS + "x nightjar")


@given(st.lists(st.sampled_from(["operation", "nightjar", "begin private", "key", "x"]), max_size=12))
@settings(deadline=None)
def test_a_long_text_is_judged_as_a_short_one(words: list[str]) -> None:
    def blocked(text: str) -> bool:
        try:
            GUARD.check(text)
        except Blocked:
            return True
        return False

    short = " ".join(words)
    assert blocked((" " * (WINDOW_CHARS // 3)).join(words) + " " * WINDOW_CHARS) == blocked(short)


def request(body: Json, text: str, chars: int) -> Request:
    return Request(
        id="r",
        tenant=Tenant(name="t"),
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model="m",
        body=body,
        text=text,
        prompt_chars=chars,
    )


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "of Operation Nightjar"},
        {"type": "document", "text": "of Operation Nightjar"},
        {"type": "document", "content": [{"type": "text", "text": "of Operation Nightjar"}]},
        {"type": "document", "text": "nothing", "title": "Operation Nightjar", "context": "none"},
        {"type": "search_result", "source": "u", "content": [{"type": "text", "text": "Operation Nightjar"}]},
        {"type": "of_a_later_day", "found": {"in": ["one", {"words": "operation nightjar"}]}},
    ],
)
def test_a_phrase_is_found_in_every_part_that_a_model_reads(part: Json) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]
    with pytest.raises(Blocked):
        asyncio.run(guard_request(request({"messages": messages}, "look", 30), [GUARD]))


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,strasse"}},
        {"type": "of_a_later_day", "source": {"type": "base64", "data": "strasse"}, "url": "data:,strasse"},
        {"type": "of_a_later_day", "encrypted_content": "strasse", "signature": "strasse"},
        {"type": "strasse", "text": 5, "strasse": None},
    ],
)
def test_data_is_no_text(part: Json) -> None:
    messages = [{"role": "user", "content": [part]}]
    asyncio.run(guard_request(request({"messages": messages}, "", 30), [GUARD]))


def turns_of(checked: Request) -> int:
    """How often others had a turn while it was checked."""

    async def go() -> int:
        turns = 0
        task = asyncio.create_task(guard_request(checked, [GUARD]))
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        await task
        return turns

    return asyncio.run(go())


def test_each_text_of_a_short_request_is_checked_once_and_in_one_go() -> None:
    seen: list[str] = []

    class Counting(DenyGuard):
        def check(self, text: str) -> None:
            seen.append(text)
            super().check(text)

    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]
    asyncio.run(guard_request(request({"messages": messages}, "hello", 12), [Counting([])]))
    assert seen == ["be kind", "hello"]
    assert turns_of(request({"messages": messages}, "hello", 12)) == 1


@pytest.mark.parametrize(("count", "chars"), [(1, 5_000_000), (10_000, 500)])
def test_others_have_their_turn_while_a_long_request_is_checked(count: int, chars: int) -> None:
    text = "operation x " * (chars // 12)
    messages = [{"role": "user", "content": text}] * count
    assert turns_of(request({"messages": messages}, text, count * chars)) > 60
    messages = [*messages, {"role": "assistant", "content": "operation nightjar"}]
    with pytest.raises(Blocked):
        turns_of(request({"messages": messages}, text, count * chars))


def test_a_phrase_may_be_spread_over_the_parts_of_a_message() -> None:
    image = {"type": "image_url"}
    parts = [{"type": "text", "text": "operation"}, image, {"type": "text", "text": "nightjar"}]
    messages = [{"role": "user", "content": parts}, {"role": "user", "content": "hello"}]
    with pytest.raises(Blocked):
        turns_of(request({"messages": messages}, "hello", 30))
