"""What is said in an answer besides its words."""

import json
from typing import Any

import pytest

from farthing.dialects.chat.answers.completion import explode
from farthing.models.answer_facts import went_wrong

ERROR = {"code": 502, "message": "the connection was lost"}


def whole(beside: Any = None, in_choice: Any = None, text: str = "a part") -> bytes:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
    choice["finish_reason"] = "stop"
    if in_choice is not None:
        choice["error"] = in_choice
    return json.dumps(
        {"id": "x", "choices": [choice], **({} if beside is None else {"error": beside})}
    ).encode()


@pytest.mark.parametrize(
    ("beside", "in_choice"), [(ERROR, None), (None, ERROR), ("lost", None), (None, "lost")]
)
def test_an_error_beside_an_answer_is_seen(beside: Any, in_choice: Any) -> None:
    assert went_wrong(whole(beside, in_choice), streamed=False)
    assert went_wrong(explode(whole(beside, in_choice), include_usage=False), streamed=True)


@pytest.mark.parametrize(
    ("beside", "in_choice"), [(None, None), ({}, None), ("", {}), ({"message": "", "code": None}, False)]
)
def test_an_error_that_says_nothing_is_none(beside: Any, in_choice: Any) -> None:
    assert not went_wrong(whole(beside, in_choice), streamed=False)
    assert not went_wrong(explode(whole(beside, in_choice), include_usage=False), streamed=True)


def test_a_text_that_speaks_of_an_error_is_none() -> None:
    assert not went_wrong(whole(text='{"error": {"message": "x"}}'), streamed=False)
