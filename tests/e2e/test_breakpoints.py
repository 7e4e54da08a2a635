"""A client that marks nothing has its prompts cached all the same, once that is seen to pay; and every
receipt agrees with what the provider billed.

The provider's Messages cache what is marked and refuse marks that Anthropic refuses."""

from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.issuer import Asked, Issuer, said
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

from farthing.types import Attempt

Json = dict[str, Any]
pytestmark = pytest.mark.slow
SONNET = "claude/claude-sonnet-5"
SYSTEM = " ".join(f"Rule {number} of the house is to be kept." for number in range(400))
TURNS = 8


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    return start_gateway(config_at(upstream.base_url.removesuffix("/v1")), PROVIDER_KEY="sk-ant-of-the-tests")


def config_at(root: str) -> str:
    return f"""
[providers.claude]
kind = "anthropic"
base_url = "{root}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[tiers.cheap]
targets = ["{SONNET}"]
[tiers.expensive]
targets = ["{SONNET}"]
[endpoints.agents]
[endpoints.chats]
[endpoints.quiet.prompt_cache]
breakpoints = "off"
[cache]
exact = "off"
[[prices]]
target = "{SONNET}"
input = 4
output = 20
cached_input = 0.4
cache_write_5m = 5
cache_write_1h = 8
"""


def messages_session(gateway: Running, upstream: FaultProvider, endpoint: str) -> list[tuple[Attempt, Call]]:
    told: list[Json] = [{"role": "user", "content": f"Begin {endpoint}."}]
    found = []
    for number in range(TURNS):
        body = {"model": SONNET, "max_tokens": 99, "system": f"{endpoint} {SYSTEM}", "messages": told}
        headers = {"x-claude-code-session-id": endpoint, "x-farthing-endpoint": endpoint}
        reply = gateway.post("/v1/messages", body, headers)
        assert reply.status == 200, reply.body
        found.append((gateway.receipt_of(reply).attempts[-1], upstream.calls[-1]))
        said = reply.json["content"][0]["text"]
        told = [*told, {"role": "assistant", "content": said}, {"role": "user", "content": f"And {number}?"}]
    return found


def test_a_session_without_marks_is_read_from_the_cache_and_the_receipts_agree(
    gateway: Running, upstream: FaultProvider
) -> None:
    calls = messages_session(gateway, upstream, "agents")
    for attempt, truth in calls:
        use, usage = attempt.prompt_cache, attempt.usage
        assert use is not None and usage is not None
        assert (usage.cached_tokens, usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (
            truth.cached_tokens,
            truth.written_5m_tokens,
            truth.written_1h_tokens,
        )
        assert use.saved_nusd == (
            truth.cached_tokens * 3_600 - truth.written_5m_tokens * 1_000 - truth.written_1h_tokens * 4_000
        )
        assert use.written_nusd == truth.written_5m_tokens * 1_000 + truth.written_1h_tokens * 4_000
        assert use.marked or not (use.saved_nusd or use.written_nusd), "the client marks nothing"
    first, wrote, last = calls[0][0].prompt_cache, None, calls[-1][0].prompt_cache
    wrote = next(one.prompt_cache for one, truth in calls if truth.written_5m_tokens)
    assert first is not None and wrote is not None and last is not None
    assert first.saved_nusd == 0, "nothing is known yet"
    assert wrote.saved_nusd is not None and wrote.saved_nusd < 0, "a write that nothing was read for"
    assert last.saved_nusd is not None and last.saved_nusd > 0
    assert sum(one.prompt_cache.saved_nusd or 0 for one, _ in calls if one.prompt_cache) > 0


def test_a_client_of_chat_completions_has_the_same(gateway: Running, upstream: FaultProvider) -> None:
    told: list[Json] = [
        {"role": "system", "content": f"chats {SYSTEM}"},
        {"role": "user", "content": "Begin the chat."},
    ]
    read = 0
    for number in range(TURNS):
        headers = {"x-farthing-session": "chats", "x-farthing-endpoint": "chats"}
        reply = gateway.post("/v1/chat/completions", {"model": SONNET, "messages": told}, headers)
        assert reply.status == 200, reply.body
        read += upstream.calls[-1].cached_tokens
        said = reply.json["choices"][0]["message"]["content"]
        told = [*told, {"role": "assistant", "content": said}, {"role": "user", "content": f"And {number}?"}]
    assert read > 0


def test_where_it_is_off_nothing_is_marked_nor_where_tokens_are_counted(
    gateway: Running, upstream: FaultProvider
) -> None:
    calls = messages_session(gateway, upstream, "quiet")
    assert not any(b"cache_control" in truth.body for _, truth in calls)
    assert b"cache_control" in messages_session(gateway, upstream, "agents")[-1][1].body
    body = {"model": SONNET, "system": f"agents {SYSTEM}", "messages": [{"role": "user", "content": "Hi"}]}
    reply = gateway.post("/v1/messages/count_tokens", body, {"x-farthing-endpoint": "agents"})
    assert reply.status == 200, reply.body
    assert b"cache_control" not in upstream.calls[-1].body


def test_a_target_that_refuses_marks_is_asked_again_at_once_and_marked_no_more(
    start_gateway: StartGateway,
) -> None:
    def answer(asked: Asked) -> tuple[int, bytes]:
        if b"cache_control" in asked.body:
            told = "messages.0.content.0.cache_control: Extra inputs are not permitted"
            return 400, said(type="error", error={"type": "invalid_request_error", "message": told})
        usage = {"input_tokens": len(asked.body) // 4, "output_tokens": 5}
        content = [{"type": "text", "text": "A farthing."}]
        return 200, said(
            id=f"msg_{len(strict.asked)}", type="message", role="assistant", model="claude-sonnet-5",
            content=content, stop_reason="end_turn", stop_sequence=None, usage=usage,
        )  # fmt: skip

    with Issuer() as strict:
        strict.answers["/v1/messages"] = answer
        gateway = start_gateway(config_at(strict.root), PROVIDER_KEY="sk-ant-of-the-tests")
        told: list[Json] = [{"role": "user", "content": "Begin."}]
        errors = []
        for number in range(TURNS):
            body = {"model": SONNET, "max_tokens": 99, "system": SYSTEM, "messages": told}
            reply = gateway.post("/v1/messages", body, {"x-claude-code-session-id": "s"})
            assert reply.status == 200, reply.body
            errors += [one.error for one in gateway.receipt_of(reply).attempts if one.error]
            told = [
                *told,
                {"role": "assistant", "content": "A farthing."},
                {"role": "user", "content": f"{number}?"},
            ]
        assert errors == ["provider_rejected"]
        assert sum(b"cache_control" in one.body for one in strict.asked) == 1
        assert len(strict.asked) == TURNS + 1
