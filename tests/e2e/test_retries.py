"""What is asked again, by whom and when: never worse through the gateway than without it."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
from openai import OpenAI
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call
from tests.pace import BUSY_S

CONFIG = """
[providers.a]
base_url = "{a}"
first_byte_s = 5.0
[providers.b]
base_url = "{b}"
[tiers.both]
targets = ["a/both", "b/both"]
[tiers.keyed]
targets = ["a/keyed", "b/keyed"]
[tiers.breaking]
targets = ["a/breaking", "b/breaking"]
[tiers.hung]
targets = ["a/hung", "b/hung"]
[endpoints.soon]
tier = "hung"
deadline_s = 2.0
on_limit = "refuse"
[endpoints.dear]
tier = "dear"
usd_max = 0.02
[endpoints.once]
tier = "both"
calls_max = 1
[tiers.dear]
targets = ["a/dear", "b/dear"]
[endpoints.spare]
tier = "spare"
usd_max = 0.02
[tiers.spare]
targets = ["a/spare", "b/dearest"]
[endpoints.spared]
tier = "spared"
usd_max = 0.02
[tiers.spared]
targets = ["b/dearest", "a/spared"]
[[prices]]
target = "a/spare"
input = 1
output = 4
[[prices]]
target = "a/spared"
input = 1
output = 4
[[prices]]
target = "b/dearest"
input = 10000
output = 40000
[[prices]]
target = "a/dear"
input = 1
output = 4
[[prices]]
target = "b/dear"
input = 1
output = 4
[cache]
exact = "off"
[call]
{call}
"""


class Script:
    """What the first calls of each model get, in the order they come; later ones are answered well."""

    def __init__(self) -> None:
        self.of: dict[str, list[str]] = {}
        self.seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> str | None:
        with self._lock:
            self.seen[call.model] += 1
            words = self.of.get(call.model)
            return words.pop(0) if words else None


@pytest.fixture(scope="module")
def script(upstream: FaultProvider) -> Script:
    upstream.on_call = script = Script()
    return script


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    """Each call of a target allows for one retry."""
    return start_gateway(CONFIG.format(a=upstream.base_url, b=second.base_url, call="retry_share_max = 1"))


@pytest.fixture(scope="module")
def frugal(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    """As it comes: a tenth of a target's calls may be repeated."""
    return start_gateway(CONFIG.format(a=upstream.base_url, b=second.base_url, call=""))


@pytest.fixture(scope="module")
def single(start_gateway: StartGateway, upstream: FaultProvider, second: FaultProvider) -> Running:
    """Nothing is ever repeated."""
    call = "attempts_max = 1"
    return start_gateway(CONFIG.format(a=upstream.base_url, b=second.base_url, call=call))


ONCE = [
    "status=503", "status=500", "status=429", "status=429,retry-after=1", "status=408", "status=409",
    "status=529", "reset", "truncate=0,end=cut",
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ONCE)
def test_what_fails_once_is_asked_again_where_no_other_target_is_left(
    gateway: Running, script: Script, fault: str, stream: bool
) -> None:
    model = f"m-{fault}-{stream}".replace("=", "-").replace(",", "-")
    script.of[model] = [fault]
    reply = gateway.chat("one two", model=f"a/{model}", stream=stream)
    assert reply.status == 200, reply.body
    row = gateway.receipt_of(reply)
    assert [bool(attempt.error) for attempt in row.attempts] == [True, False]
    assert row.calls == 2 and script.seen[model] == 2


@pytest.mark.parametrize("fault", ["status=400", "status=404", "status=422", "status=401", "bad=json"])
def test_what_would_fail_again_is_not_asked_again(gateway: Running, script: Script, fault: str) -> None:
    model = f"no-{fault}".replace("=", "-")
    script.of[model] = [fault]
    assert gateway.chat(model=f"a/{model}").status >= 400
    assert script.seen[model] == 1


def test_a_client_may_try_again_what_was_never_repeated_here(single: Running, script: Script) -> None:
    script.of["untried"] = ["status=503"]
    with OpenAI(base_url=single.base_url, api_key="any", max_retries=1) as client:
        said = client.chat.completions.create(model="a/untried", messages=[{"role": "user", "content": "hi"}])
    assert said.choices[0].message.content
    assert script.seen["untried"] == 2


def test_a_key_that_is_refused_is_told_in_the_log_where_the_next_target_answers(
    gateway: Running, script: Script
) -> None:
    for number in range(2):
        script.of["keyed"] = ["status=401,code=account_deactivated"]
        assert gateway.chat(f"whose key {number}", model="keyed").status == 200
    told = [line for line in gateway.logged().splitlines() if "refused the gateway's own key" in line]
    assert len(told) == 1, "once in ten minutes for a provider"
    assert "a answered 401" in told[0] and "; its code is " in told[0], "whichever was first"


def test_retries_used_up_are_the_only_ones_the_client_is_told_not_to_add_to(
    gateway: Running, script: Script
) -> None:
    for number in range(3):
        assert gateway.chat(f"good {number}", model="a/always").status == 200
    script.of["always"] = ["status=503,code=busy"] * 9
    with (
        OpenAI(base_url=gateway.base_url, api_key="any", max_retries=2) as client,
        pytest.raises(openai.InternalServerError) as failed,
    ):
        client.chat.completions.create(model="a/always", messages=[{"role": "user", "content": "x"}])
    assert script.seen["always"] - 3 == 3, "as many as the client itself would have made"
    assert (failed.value.status_code, failed.value.code) == (503, "busy"), "in the provider's words"
    assert failed.value.response.headers["x-should-retry"] == "false"


def test_a_retry_that_the_budget_does_not_allow_is_left_to_the_client(
    frugal: Running, script: Script
) -> None:
    script.of["burst"] = ["status=503"] * 10

    def ask(number: int) -> str | None:
        with OpenAI(base_url=frugal.base_url, api_key="any") as client:
            reply = client.chat.completions.create(
                model="a/burst", messages=[{"role": "user", "content": f"q{number}"}]
            )
        return reply.choices[0].message.content

    with ThreadPoolExecutor(10) as pool:
        said = list(pool.map(ask, range(10)))
    assert said == [f"echo: q{number}" for number in range(10)]


def test_a_pause_longer_than_we_wait_is_passed_on_and_nothing_forbids_the_clients_retry(
    gateway: Running, script: Script
) -> None:
    script.of["long"] = ["status=429,retry-after=30"] * 3
    began_s = time.monotonic()
    reply = gateway.chat(model="a/long")
    assert reply.status == 429 and reply.headers["retry-after"] == "30"
    assert "x-should-retry" not in reply.headers and time.monotonic() - began_s < 25.0
    assert script.seen["long"] == 1
    again = gateway.chat("another client", model="a/long")
    assert again.status == 429 and script.seen["long"] == 2, "the provider is asked, where it is the only one"


def test_a_pause_of_a_day_is_told_as_it_is_and_the_client_gives_up_at_once(
    gateway: Running, script: Script
) -> None:
    script.of["quota"] = ["status=429,retry-after=86400"] * 3
    with (
        OpenAI(base_url=gateway.base_url, api_key="any") as client,
        pytest.raises(openai.RateLimitError) as failed,
    ):
        began_s = time.monotonic()
        client.chat.completions.create(model="a/quota", messages=[{"role": "user", "content": "x"}])
    assert time.monotonic() - began_s < 25.0
    assert failed.value.response.headers["retry-after"] == "86400" and script.seen["quota"] == 1


def test_a_short_pause_asked_for_by_one_is_waited_for_by_the_next(gateway: Running, script: Script) -> None:
    script.of["short"] = ["status=429,retry-after=1,code=x"]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda n: gateway.chat(f"q{n}", model="a/short"), range(4)))
    assert {reply.status for reply in replies} == {200}


def test_a_429_that_names_no_pause_delays_nobody_else_where_there_is_no_other_target(
    gateway: Running, script: Script
) -> None:
    script.of["mine"] = ["status=429,code=x"]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(gateway.chat, "refused", model="a/mine")
        until(lambda: script.seen["mine"] == 1)
        began_s = time.monotonic()
        assert gateway.chat("another", model="a/mine").status == 200
        assert time.monotonic() - began_s < 0.9, "a pause is a second"
        assert first.result().status == 200


def test_an_empty_account_is_said_at_once_and_with_its_code(gateway: Running, script: Script) -> None:
    script.of["broke"] = ["status=429,code=insufficient_quota"] * 3
    reply = gateway.chat(model="a/broke")
    assert (reply.status, reply.error["code"]) == (429, "insufficient_quota")
    assert reply.headers["x-should-retry"] == "false" and script.seen["broke"] == 1


def test_a_connection_that_closes_after_long_silence_is_not_asked_again(
    gateway: Running, script: Script
) -> None:
    script.of["late"] = ["hang,hold=1.5"] * 3
    reply = gateway.chat(model="a/late")
    assert reply.status == 502 and script.seen["late"] == 1, "it may have been worked on"
    assert "x-should-retry" not in reply.headers, "that is for the client to decide"


def test_a_hung_target_is_left_in_time_for_the_next_to_keep_the_deadline(
    gateway: Running, script: Script
) -> None:
    script.of["hung"] = ["hang"] * 4
    for stream in (False, True):
        began_s = time.monotonic()
        reply = gateway.chat("one two", model="farthing/soon", stream=stream)
        assert reply.status == 200, reply.body
        assert time.monotonic() - began_s < 2.0 + BUSY_S
        assert gateway.receipt_of(reply).target == "b/hung"


def test_a_deadline_missed_is_a_timeout_of_ours(
    gateway: Running, script: Script, second: FaultProvider
) -> None:
    script.of["hung"] = ["hang"]
    second.on_call = lambda call: "hang" if call.model == "hung" else None
    try:
        reply = gateway.chat("three", model="farthing/soon")
    finally:
        second.on_call = None
    assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
    assert gateway.receipt_of(reply).stop_reason == "limit:deadline_s"


def test_streams_that_break_open_the_breaker(
    gateway: Running, script: Script, upstream: FaultProvider
) -> None:
    script.of["breaking"] = ["truncate=3,end=cut"] * 40
    broken = 0
    for number in range(11):
        reply = gateway.chat(f"one two three four five {number}", model="breaking", stream=True)
        assert reply.status == 200
        broken += reply.events[-1] != "[DONE]"
    assert broken <= 5, "then the healthy second target is asked"


def test_one_requests_own_500s_do_not_stop_a_target_for_all(gateway: Running, script: Script) -> None:
    script.of["both"] = ["status=500"] * 12
    for _ in range(12):
        assert gateway.chat("the one that breaks the template", model="both").status == 200
    assert script.seen["both"] == 12, "the target was asked first each time"
    assert gateway.receipt_of(gateway.chat("a good one", model="both")).target == "a/both"


def test_what_a_failed_attempt_held_is_free_for_the_next(gateway: Running, script: Script) -> None:
    script.of["dear"] = ["status=503"] * 30
    for number in range(10):
        reply = gateway.chat(f"w{number}", model="farthing/dear", max_tokens=10)
        assert reply.status == 200, reply.body
        assert reply.json["choices"][0]["finish_reason"] == "stop"
    wide = gateway.chat("wide", model="farthing/dear")
    assert wide.status == 200 and gateway.receipt_of(wide).stop_reason == "stop", "and is not capped for it"


def test_where_no_further_call_may_be_made_the_client_hears_of_the_one_that_failed(
    gateway: Running, script: Script
) -> None:
    script.of["both"] = ["status=503,code=busy"]
    reply = gateway.chat("only one call", model="farthing/once")
    assert (reply.status, reply.error["code"]) == (503, "busy")
    assert gateway.receipt_of(reply).calls == 1


def test_a_refusal_and_an_outage_are_both_named(
    gateway: Running, script: Script, second: FaultProvider
) -> None:
    script.of["both"] = ["status=400,code=odd"]
    second.on_call = lambda call: "status=503" if call.model == "both" else None
    try:
        reply = gateway.chat("something odd", model="both")
    finally:
        second.on_call = None
    message = reply.error["message"]
    assert "asked for a 400" in message and "asked for a 503" in message


@pytest.mark.parametrize("endpoint", ["spare", "spared"])
def test_a_target_that_is_too_dear_does_not_hide_what_the_other_said(
    gateway: Running, script: Script, endpoint: str
) -> None:
    script.of[endpoint] = ["status=503", "good"]
    reply = gateway.chat("once", model=f"farthing/{endpoint}", max_tokens=10)
    assert reply.status == 200, reply.body
    assert [one.target for one in gateway.receipt_of(reply).attempts] == [f"a/{endpoint}"] * 2
    script.of[endpoint] = ["status=400"]
    assert gateway.chat("refused", model=f"farthing/{endpoint}", max_tokens=10).status == 400
