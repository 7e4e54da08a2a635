"""What a provider's prompt cache read, wrote and missed is on the receipt as the provider billed it, with the
reason and the money; `farthing explain` and `farthing report` tell it; and a session stays where it is warm.

The provider's Messages cache what is marked, by Anthropic's rules; its chat completions tell what a script
says."""

import json
import subprocess
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import COMMAND, Reply, Running
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

from farthing.types import Attempt, PromptCacheUse

Json = dict[str, Any]
pytestmark = pytest.mark.slow
SONNET, OPUS, GPT, BIG, MINI = (
    "claude/claude-sonnet-5", "claude/claude-opus-5", "chat/gpt-5.2", "chat/gpt-5.9-big", "chat/gpt-5.9-mini"
)  # fmt: skip
MARK = {"cache_control": {"type": "ephemeral"}}
SYSTEM = " ".join(f"Rule {number} of the house is to be kept." for number in range(400))


def priced(target: str, usd: int) -> str:
    return (
        f'[[prices]]\ntarget = "{target}"\ninput = {usd}\noutput = {5 * usd}\ncached_input = {usd / 10}\n'
        f"cache_write_5m = {usd * 1.25}\ncache_write_1h = {usd * 2}\n"
    )


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    prices = "".join(
        priced(name, usd) for name, usd in ((SONNET, 4), (OPUS, 8), (GPT, 2), (BIG, 5), (MINI, 1))
    )
    config = f"""
[providers.claude]
kind = "anthropic"
base_url = "{upstream.base_url.removesuffix("/v1")}"
api_key = "${{PROVIDER_KEY}}"
pass_through = true
[providers.chat]
base_url = "{upstream.base_url}"
pass_through = true
[tiers.cheap]
targets = ["{MINI}"]
[tiers.expensive]
targets = ["{BIG}"]
[endpoints.agents]
[cache]
exact = "off"
[prompt_cache]
breakpoints = "off"
{prices}
"""
    return start_gateway(config, PROVIDER_KEY="sk-ant-of-the-tests")


class Agent:
    """A client of Messages that marks what is to be cached."""

    def __init__(
        self, gateway: Running, upstream: FaultProvider, session: str, *, marks: bool = True
    ) -> None:
        self.gateway, self.upstream, self.session, self.marks = gateway, upstream, session, marks
        self.system = f"{session}. {SYSTEM}"
        self.messages: list[Json] = [{"role": "user", "content": f"Begin {session}."}]

    def turn(self, model: str) -> tuple[Attempt, Call]:
        mark = MARK if self.marks else {}
        messages = [*self.messages]
        last = messages[-1]
        messages[-1] = {**last, "content": [{"type": "text", "text": last["content"], **mark}]}
        system = [{"type": "text", "text": self.system, **mark}]
        body = {"model": model, "max_tokens": 99, "system": system, "messages": messages}
        reply = self.gateway.post(
            "/v1/messages", body, {"x-claude-code-session-id": self.session, "x-farthing-endpoint": "agents"}
        )
        assert reply.status == 200, reply.body
        said = reply.json["content"][0]["text"]
        self.messages += [
            {"role": "assistant", "content": said},
            {"role": "user", "content": f"And then {len(self.messages)}?"},
        ]
        return self.gateway.receipt_of(reply).attempts[-1], self.upstream.calls[-1]


def use_of(attempt: Attempt) -> PromptCacheUse:
    assert attempt.prompt_cache is not None
    return attempt.prompt_cache


def test_an_agent_that_marks_is_read_and_every_receipt_agrees_with_its_provider(
    gateway: Running, upstream: FaultProvider
) -> None:
    agent = Agent(gateway, upstream, "marks")
    for number in range(5):
        attempt, truth = agent.turn(SONNET)
        use, usage = use_of(attempt), attempt.usage
        assert usage is not None
        assert (usage.cached_tokens, usage.cache_write_5m_tokens) == (
            truth.cached_tokens,
            truth.written_5m_tokens,
        )
        assert use.result == ("first" if number == 0 else "read")
        assert use.saved_nusd == truth.cached_tokens * 3_600 - truth.written_5m_tokens * 1_000
        assert use.written_nusd == truth.written_5m_tokens * 1_000
        assert use.missed_nusd == 0


def test_a_system_prompt_that_changes_is_found_out_and_priced(
    gateway: Running, upstream: FaultProvider
) -> None:
    agent = Agent(gateway, upstream, "changes")
    agent.turn(SONNET)
    agent.system = agent.system.replace("Rule 300 ", "Rule 300.5 ")
    attempt, truth = agent.turn(SONNET)
    use = use_of(attempt)
    assert (use.result, use.segment) == ("changed", "system")
    assert use.byte is not None
    assert use.byte <= agent.system.index("Rule 300.5") < use.byte + 1_024
    assert use.missed_nusd is not None
    assert use.missed_tokens is not None
    assert use.missed_nusd == use.missed_tokens * 4_600
    assert truth.cached_tokens == 0


def test_an_agent_that_marks_nothing_and_one_that_switches_its_model_are_told(
    gateway: Running, upstream: FaultProvider
) -> None:
    plain = Agent(gateway, upstream, "plain", marks=False)
    assert [use_of(plain.turn(SONNET)[0]).result for _ in range(2)] == ["first", "unmarked"]
    agent = Agent(gateway, upstream, "switches")
    agent.turn(SONNET)
    use = use_of(agent.turn(OPUS)[0])
    assert (use.result, use.switched_from) == ("model", SONNET)
    assert use_of(agent.turn(SONNET)[0]).result == "read"


def chat(gateway: Running, model: str, session: str, turns: int, **more: Any) -> Reply:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": f"Begin {session}."}]
    for number in range(turns):
        messages += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": f"Then {number}?"}]
    reply = gateway.post(
        "/v1/chat/completions",
        {"model": model, "messages": messages, **more},
        {"x-farthing-session": session},
    )
    assert reply.status == 200, reply.body
    return reply


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_caches_by_itself_is_measured_too(
    gateway: Running, upstream: FaultProvider, stream: bool
) -> None:
    session = f"chat {stream}"
    found = []
    for turn, cached in enumerate((0, 3_072, 0)):
        upstream.script(f"prompt-tokens={3_200 + 10 * turn},cached={cached}")
        reply = chat(gateway, GPT, session, turn, stream=stream)
        found.append(use_of(gateway.receipt_of(reply).attempts[-1]))
    assert [one.result for one in found] == ["first", "read", "evicted"]
    assert [one.saved_nusd for one in found] == [0, 3_072 * 1_800, 0]
    assert found[2].missed_tokens == 3_200
    assert found[2].missed_nusd == 3_200 * 1_800


def test_a_session_stays_at_the_dearer_target_that_is_warm_and_the_receipt_says_why(
    gateway: Running, upstream: FaultProvider
) -> None:
    upstream.script("prompt-tokens=3200,cached=0")
    first = gateway.receipt_of(chat(gateway, BIG, "stays", 0))
    assert first.target == BIG
    upstream.script("prompt-tokens=3210,cached=3072")
    stayed = gateway.post(
        "/v1/chat/completions",
        {
            "model": "auto",
            "max_completion_tokens": 1,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": "Begin stays."},
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": "Then 0?"},
            ],
        },
        {"x-farthing-session": "stays", "x-farthing-task": "classify"},
    )
    receipt = gateway.receipt_of(stayed)
    assert (receipt.target, receipt.tier) == (BIG, "expensive"), receipt.route_reason
    assert "stays with chat/gpt-5.9-big, which has 3200 tokens of the session cached" in receipt.route_reason
    cold = gateway.post(
        "/v1/chat/completions",
        {
            "model": "auto",
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "New"}],
        },
        {"x-farthing-session": "cold", "x-farthing-task": "classify"},
    )
    assert gateway.receipt_of(cold).target == MINI


def test_a_short_request_is_not_measured(gateway: Running) -> None:
    receipt = gateway.receipt_of(gateway.chat("Short.", model=GPT))
    assert receipt.attempts[-1].prompt_cache is None


def farthing(gateway: Running, *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND[:-1], *arguments, "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin", "FARTHING__STATE_DIR": str(gateway.state), "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_explain_and_report_tell_it(gateway: Running, upstream: FaultProvider) -> None:
    agent = Agent(gateway, upstream, "told")
    agent.turn(SONNET)
    agent.turn(SONNET)
    agent.system = "It is noon. " + agent.system
    agent.turn(SONNET)
    last = [one for one in gateway.receipts() if one.session == "told"][-1]
    shown = farthing(gateway, "explain", last.request_id)
    assert "the prompt changed in system, within 1 KiB after byte 0" in shown
    assert "tokens missed for $" in shown
    session = farthing(gateway, "explain", "--session", "told")
    assert session.count(SONNET) == 3
    assert "the first call of its session" in session
    assert "read as far as the session had sent it before" in session
    told = json.loads(farthing(gateway, "explain", "--session", "told", "--json"))
    assert [call["prompt_cache"]["result"] for call in told["calls"]] == ["first", "read", "changed"]
    assert told["plan"]["misses"][0]["reason"] in ("first", "changed")

    report = json.loads(farthing(gateway, "report", "--json"))
    plan = next(one for one in report["prompt_caches"] if one["endpoint"] == "agents")
    truth = [call for call in upstream.calls if call.path.endswith("/messages")]
    assert plan["calls"] == len(truth)
    assert plan["input_tokens"] == sum(call.prompt_tokens for call in truth)
    assert plan["read_tokens"] == sum(call.cached_tokens for call in truth)
    assert plan["written_tokens"] == sum(call.written_5m_tokens for call in truth)
    assert plan["read_tokens"] + plan["new_tokens"] + plan["missed_tokens"] == plan["input_tokens"]
    reasons = {one["reason"]: one["segments"] for one in plan["misses"]}
    assert reasons["changed"] == {"system": 2}
    text = farthing(gateway, "report")
    assert "Prompt caches of providers" in text
    assert "agents: of " in text
    assert "prompt changed (system 2): 2 calls" in text
