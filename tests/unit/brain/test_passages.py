"""Passages in a prompt: where they stand, and that nothing else changes."""

from typing import Any

import pytest

from farthing.brain.compose import PASSAGES_HEAD, with_passages, without_passages
from farthing.types import Passage

PASSAGES = (Passage(text="Goods may be sent back.", source="returns@2"), Passage(text="Free.", source="post"))
SYSTEM = {"role": "system", "content": "You are kind.", "name": "x"}
ASKED = {"role": "user", "content": "May I?"}
CALLED = {"role": "assistant", "tool_calls": [{"id": "1"}]}
TOLD = {"role": "tool", "content": "yes"}


def test_they_stand_before_the_last_question_and_the_prefix_stays() -> None:
    body: dict[str, Any] = {"model": "m", "x": 1, "messages": [SYSTEM, ASKED, {"role": "assistant"}, ASKED]}
    before = repr(body)
    found = with_passages(body, PASSAGES)
    assert repr(body) == before
    assert found["messages"][:3] == body["messages"][:3] and found["messages"][4:] == [ASKED]
    assert found["messages"][3] == {
        "role": "user",
        "content": f"{PASSAGES_HEAD}\n\n[1] returns@2\nGoods may be sent back.\n\n[2] post\nFree.",
    }
    assert {**found, "messages": 0} == {**body, "messages": 0}
    assert without_passages(found) == body


def test_an_agents_steps_keep_them_where_they_were() -> None:
    first = with_passages({"messages": [SYSTEM, ASKED]}, PASSAGES)["messages"]
    then = with_passages({"messages": [SYSTEM, ASKED, CALLED, TOLD]}, PASSAGES)["messages"]
    assert then[: len(first)] == first


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": [SYSTEM]}, {"messages": "x"}])
def test_a_body_without_a_question_stays_as_it_is(body: dict[str, Any]) -> None:
    assert with_passages(body, PASSAGES) is body
    assert without_passages(body) is body


def test_what_has_none_stays_as_it_is() -> None:
    body = {"messages": [SYSTEM, ASKED, ASKED]}
    assert without_passages(body) is body
