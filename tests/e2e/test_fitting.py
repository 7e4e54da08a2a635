"""Parameters that a target does not take, through the real gateway: known before the call, learnt from a
refusal, and never worse than directly for a client that named the model."""

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Reply, Running
from tests.faults.exact import whole_of
from tests.faults.issuer import Asked, Issuer, said

NUMBERS = count()
ANSWER = json.dumps(whole_of("a farthing")).encode()


class Strict(Issuer):
    """A provider whose models refuse some fields, as OpenAI's do; `sent` are the bodies that came."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: dict[str, list[str]] = {}
        """By model, in the order in which it looks."""

    def _chat(self, asked: Asked) -> tuple[int, bytes]:
        body = json.loads(asked.body)
        for name in self.refuses.get(body["model"], ()):
            if name in body:
                instead = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
                message = f"Unsupported parameter: '{name}' is not supported with this model.{instead}"
                error = {"message": message, "param": name, "code": "unsupported_parameter"}
                return 400, said(error={"type": "invalid_request_error", **error})
        return 200, ANSWER

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(one.body) for one in self.asked]


@pytest.fixture
def strict() -> Iterator[Strict]:
    with Strict() as made:
        yield made  # type: ignore[misc]


def before(strict: Strict, start_gateway: StartGateway) -> Running:
    return start_gateway(f"""
[providers.a]
base_url = "{strict.root}/v1"
auth = "none"
[providers.ollama]
base_url = "{strict.root}/v1"
auth = "none"
[tiers.one]
targets = ["a/odd"]
[tiers.two]
targets = ["a/odd", "a/plain"]
[tiers.local]
targets = ["ollama/small", "a/plain"]
[tiers.only]
targets = ["ollama/small"]
""")


def asked(gateway: Running, model: str, **fields: Any) -> Reply:
    return gateway.chat(f"hello {next(NUMBERS)}", model=model, **fields)  # none is in a cache


def test_a_limit_by_the_wrong_name_is_learnt_once_and_then_known(
    strict: Strict, start_gateway: StartGateway
) -> None:
    strict.refuses["odd"] = ["max_tokens"]
    gateway = before(strict, start_gateway)
    first, second, named = (asked(gateway, model, max_tokens=50) for model in ("one", "one", "a/odd"))
    assert [one.status for one in (first, second, named)] == [200, 200, 200]
    assert [body.get("max_completion_tokens") for body in strict.sent()] == [None, 50, 50, 50]
    attempts = gateway.receipt_of(first).attempts
    assert [one.status for one in attempts] == [400, 200] and attempts[0].cost_nusd == 0
    assert gateway.receipt_of(second).calls == 1


def test_a_client_that_named_the_model_has_its_limit_renamed_too_for_that_loses_nothing(
    strict: Strict, start_gateway: StartGateway
) -> None:
    strict.refuses["odd"] = ["max_tokens"]
    gateway = before(strict, start_gateway)
    assert asked(gateway, "a/odd", max_tokens=50).status == 200
    assert strict.sent()[-1]["max_completion_tokens"] == 50


def test_what_may_be_left_out_is_left_out_and_told(strict: Strict, start_gateway: StartGateway) -> None:
    strict.refuses["odd"] = ["temperature", "user"]
    gateway = before(strict, start_gateway)
    fields = {"temperature": 0.2, "user": "ada"}
    reply = asked(gateway, "one", **fields)
    again = asked(gateway, "one", **fields)
    assert again.status == 200 and again.headers["x-farthing-left-out"] == "temperature, user"
    assert gateway.receipt_of(again).calls == 1
    assert reply.status == 200 and reply.headers["x-farthing-left-out"] == "temperature, user"
    told = [(one.status, one.left_out) for one in gateway.receipt_of(reply).attempts]
    assert told == [(400, ""), (400, "temperature"), (200, "temperature, user")]


def test_a_client_that_named_the_model_is_told_what_it_would_be_told_directly(
    strict: Strict, start_gateway: StartGateway
) -> None:
    strict.refuses["odd"] = ["temperature"]
    gateway = before(strict, start_gateway)
    for _ in range(2):
        reply = asked(gateway, "a/odd", temperature=0.2)
        assert reply.status == 400 and reply.error["param"] == "temperature"
        assert reply.error["code"] == "unsupported_parameter"
    assert len(strict.asked) == 2 and all(body["temperature"] == 0.2 for body in strict.sent())


def test_what_changes_the_answer_goes_to_the_next_target_and_from_then_on_at_once(
    strict: Strict, start_gateway: StartGateway
) -> None:
    strict.refuses["odd"] = ["logprobs"]
    gateway = before(strict, start_gateway)
    assert asked(gateway, "two", logprobs=True).status == 200
    assert asked(gateway, "two", logprobs=True).status == 200
    assert [body["model"] for body in strict.sent()] == ["odd", "plain", "plain"]
    assert all(body["logprobs"] is True for body in strict.sent())
    alone = asked(gateway, "one", logprobs=True)
    assert alone.status == 400 and "logprobs" in alone.error["message"]


def test_what_a_host_is_known_to_lack_is_not_asked_of_it(strict: Strict, start_gateway: StartGateway) -> None:
    gateway = before(strict, start_gateway)
    assert asked(gateway, "local", n=2).status == 200
    assert asked(gateway, "local", max_completion_tokens=50).status == 200
    assert [(body["model"], body.get("n")) for body in strict.sent()] == [("plain", 2), ("small", None)]
    assert strict.sent()[1]["max_tokens"] == 50
    refused = asked(gateway, "only", n=2)
    assert refused.status == 400 and "`n`" in refused.error["message"]
    named = asked(gateway, "ollama/small", n=2, max_completion_tokens=50)
    assert named.status == 200
    assert (strict.sent()[-1]["n"], strict.sent()[-1]["max_completion_tokens"]) == (2, 50)


def test_clients_of_other_dialects_are_made_to_fit_too(strict: Strict, start_gateway: StartGateway) -> None:
    strict.refuses["odd"] = ["max_tokens", "temperature"]
    gateway = before(strict, start_gateway)
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": "a/odd", "max_tokens": 50, "temperature": 0.2, "messages": messages}
    reply = gateway.post("/v1/messages", body, {"anthropic-version": "2023-06-01"})
    assert reply.status == 200, reply.body
    assert strict.sent()[-1]["max_completion_tokens"] == 50 and "temperature" not in strict.sent()[-1]
    assert gateway.receipt_of(reply).attempts[-1].left_out == "temperature"


def test_a_stream_that_may_not_be_asked_for_its_usage_is_asked_without(
    strict: Strict, start_gateway: StartGateway
) -> None:
    strict.refuses["odd"] = ["stream_options"]
    gateway = before(strict, start_gateway)
    asked(gateway, "one", stream=True)
    asked(gateway, "one", stream=True)
    assert ["stream_options" in body for body in strict.sent()] == [True, False, False]
