"""What checks read of an answer does not depend on how oddly its provider writes JSON."""

import json
import math
from typing import Any

import pytest

from farthing.config import CallConfig
from farthing.dialects.chat.answers.reply import Fields, WholeReply
from farthing.jobs.runner import text_of
from farthing.models.calling.request import CallResult
from farthing.models.candidate import draft_of
from farthing.models.health.health import Health
from farthing.types import DEFAULT_ENDPOINT, Answer, Attempt, CandidateAnswer, Request, Target, Tenant

REQUEST = Request(
    id="r",
    tenant=Tenant(name="t"),
    endpoint=DEFAULT_ENDPOINT,
    operation="chat",
    model="auto",
    body={},
    text="",
    prompt_chars=0,
)


def body_of(content: str = "hello", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps({"choices": [{**choice, **more}]}).encode()


def drafted(body: bytes) -> CandidateAnswer:
    result = CallResult(
        Target(name="a/m", provider="a", model="m"),
        Attempt(target="a/m", tier="t", started_ms=0),
        Health(CallConfig(), lambda: 0.0),
    )
    result.reply = WholeReply(body, None, Fields())
    return draft_of(REQUEST, result)


@pytest.mark.parametrize(
    "body", [body_of(x=math.nan), body_of("hello", x="\ud83d"), b"\xef\xbb\xbf" + body_of()]
)
def test_an_answer_is_read_however_it_is_written(body: bytes) -> None:
    assert drafted(body).text == "hello"
    assert text_of(Answer(body=body)) == "hello"


def test_a_logprob_that_is_no_number_is_left_out() -> None:
    tokens = [
        {"token": "a", "logprob": math.nan},
        {"token": "b", "logprob": -1.0},
        {"token": "c", "logprob": -math.inf},
    ]
    assert drafted(body_of(logprobs={"content": tokens})).logprobs == (-1.0, -math.inf)
