"""Several keys and replicas, and hedging, through the real gateway."""

import json
import subprocess
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

KEYS = {"KEY_A": "sk-first-key-0123456789abcdef", "KEY_B": "sk-second-key-0123456789abcdef"}
CONFIG = """
[providers.keys]
base_url = "{a}"
api_keys = ["${{KEY_A}}", "${{KEY_B}}"]
[providers.places]
base_url = "{a}"
[[providers.places.replicas]]
base_url = "{b}"
region = "eu-1"
[providers.accounts]
kind = "responses"
base_url = "{a}"
api_keys = ["${{KEY_A}}", "${{KEY_B}}"]
separate_accounts = true
[tiers.slow]
targets = ["places/slow"]
hedge_after_ms = 200
[tiers.cheap]
targets = ["keys/m"]
[endpoints.hedged]
tier = "slow"
[[prices]]
target = "places/slow"
input = 1
output = 4
[cache]
exact = "off"
[call]
retry_share_max = 1
"""


class Limited:
    """Each key may make so many calls in any second; the first call of the model `slow` is slow."""

    def __init__(self) -> None:
        self.refused_key = ""
        self.slow = False
        self.good: Counter[str] = Counter()
        self._taken: dict[str, deque[float]] = {}

    def __call__(self, call: Call) -> str | None:
        if call.model == "slow":
            slow, self.slow = self.slow, False
            return "delay=60" if slow else None
        key = call.headers.get("authorization", "").removeprefix("Bearer ")
        if key == self.refused_key:
            return f"status=401,message=no {key}"
        if call.model != "limited":
            return None
        taken, now_s = self._taken.setdefault(key, deque()), time.monotonic()
        while taken and taken[0] < now_s - 1.0:
            taken.popleft()
        if len(taken) >= 5:
            return f"status=429,retry-after-ms={int((taken[0] + 1.0 - now_s) * 1000) + 10}"
        taken.append(now_s)
        self.good[key] += 1
        return None


@pytest.fixture(scope="module")
def limited(upstream: FaultProvider, second: FaultProvider) -> Limited:
    limited = Limited()
    upstream.on_call = second.on_call = limited
    return limited


@pytest.fixture(scope="module")
def gateway(
    start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider, limited: Limited
) -> Running:
    return start_gateway(CONFIG.format(a=upstream.base_url, b=second.base_url), **KEYS)


def lane_of(gateway: Running, reply: object) -> list[tuple[str, str | None]]:
    receipt = gateway.receipt_of(reply)  # type: ignore[arg-type]
    return [(attempt.lane, attempt.error) for attempt in receipt.attempts]


def test_a_key_at_its_limit_leaves_the_call_to_the_other_at_once(gateway: Running, limited: Limited) -> None:
    lanes = []
    for number in range(10):
        reply = gateway.chat(f"question {number}", model="keys/limited")
        assert reply.status == 200, reply.body
        lanes += lane_of(gateway, reply)
    assert limited.good[KEYS["KEY_A"]] == limited.good[KEYS["KEY_B"]] == 5
    assert {lane for lane, error in lanes if error is None} == {"key 1", "key 2"}
    assert {error for _, error in lanes} <= {None, "provider_busy"}


def test_a_refused_key_is_told_once_and_leaves_the_calls_to_the_other(
    gateway: Running, limited: Limited
) -> None:
    limited.refused_key = KEYS["KEY_A"]
    try:
        replies = [gateway.chat(f"hello {number}", model="keys/any") for number in range(12)]
    finally:
        limited.refused_key = ""
    assert {reply.status for reply in replies} == {200}
    lanes = [lane for reply in replies for lane in lane_of(gateway, reply)]
    assert lanes.count(("key 1", "provider_rejected")) == 1
    told = [line for line in gateway.logged().splitlines() if "refused the gateway's own key" in line]
    assert len(told) == 1 and "keys/any, key 1" in told[0] and "the others are used meanwhile" in told[0]
    assert not any(key in gateway.logged() for key in KEYS.values())


def test_metrics_and_explain_name_the_lane_and_no_secret(gateway: Running) -> None:
    reply = gateway.chat("once more", model="keys/m")
    receipt = gateway.receipt_of(reply)
    label = receipt.attempts[0].lane
    metrics = gateway.request("GET", "/metrics").body.decode()
    assert f'farthing_lane_attempts_total{{target="keys/m",lane="{label}",outcome="ok"}} 1' in metrics
    command = [sys.executable, "-c", "from farthing.cli.main import main; main()", "explain"]
    shown = subprocess.run(
        [*command, receipt.request_id, "--ledger", str(gateway.state / "ledger")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"by {label}" in shown
    assert not any(key in metrics + shown for key in KEYS.values())


@pytest.mark.parametrize("stream", [False, True])
def test_a_slow_call_is_hedged_at_the_other_address_and_closed(
    gateway: Running, limited: Limited, upstream: FaultProvider, second: FaultProvider, stream: bool
) -> None:
    limited.slow = True
    reply = gateway.chat("slow", model="farthing/hedged", stream=stream)
    assert reply.status == 200
    newest = gateway.receipt_of(reply)
    first, other = newest.attempts
    assert (first.error, other.error) == ("hedge_lost", None) and other.hedge and not first.hedge
    assert {first.lane, other.lane} == {"main", "replica eu-1"}
    assert first.cost_nusd and other.cost_nusd and newest.cost_nusd == first.cost_nusd + other.cost_nusd
    calls = [*upstream.calls, *second.calls]
    until(lambda: any(call.aborted for call in calls if call.request_id == newest.request_id))
    metrics = gateway.request("GET", "/metrics").body.decode()
    assert 'farthing_hedges_total{target="places/slow",result="won"}' in metrics


@pytest.mark.parametrize("path", ["responses", "chat/completions"])
def test_what_one_account_has_encrypted_goes_back_to_it(
    gateway: Running, upstream: FaultProvider, path: str
) -> None:
    used: set[str] = set()
    for conversation in range(8):
        before = len(upstream.calls)
        model = "accounts/reasoning=one two"
        said: list[Any] = [{"role": "user", "content": f"think {conversation}"}]
        for _ in range(3):
            if path == "responses":
                body = {"model": model, "input": said, "include": ["reasoning.encrypted_content"]}
                reply = gateway.post("/v1/responses", {**body, "reasoning": {"effort": "high"}})
                assert reply.status == 200, reply.body
                said += reply.json["output"]
            else:
                reply = gateway.chat(model=model, messages=said, reasoning_effort="high")
                assert reply.status == 200, reply.body
                said.append(reply.json["choices"][0]["message"])
            assert not gateway.receipt_of(reply).attempts[0].left_out
            said.append({"role": "user", "content": "go on"})
        calls = upstream.calls[before:]
        assert b"encrypted_content" in calls[-1].body.partition(b'"include"')[0] + calls[-1].body[-2000:]
        keys = {call.headers["authorization"] for call in calls}
        assert len(calls) == 3 and len(keys) == 1, "one account has all of a conversation"
        used |= keys
    assert len(used) == 2, "conversations are divided among both"


def test_check_shows_keys_by_their_variables(tmp_path: Path) -> None:
    file = tmp_path / "farthing.toml"
    file.write_text(CONFIG.format(a="http://a.test/v1", b="http://b.test/v1"))
    command = [
        sys.executable,
        "-c",
        "from farthing.cli.main import main; main()",
        "check",
        str(file),
        "--json",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**KEYS, "HOME": str(tmp_path)}
    )
    shown = json.loads(done.stdout)["config"]["providers"]
    assert shown["keys"]["api_keys"] == ["${KEY_A}", "${KEY_B}"]
    assert shown["places"]["replicas"][0]["region"] == "eu-1"
    assert json.loads(done.stdout)["lanes"] == {
        "accounts": ["key 1 (KEY_A)", "key 2 (KEY_B)"],
        "keys": ["key 1 (KEY_A)", "key 2 (KEY_B)"],
        "places": ["main at http://a.test/v1", "replica eu-1 at http://b.test/v1"],
    }
