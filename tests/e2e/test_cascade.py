"""A cascade before real sockets: who is asked, what the client sees, and what the ledger says of it."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.asking import ACME
from tests.conftest import StartGateway
from tests.e2e.gateway import Running, until
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call
from tests.wired import parts_in_memory

from farthing.config import loads
from farthing.edge.openai import Asked
from farthing.errors import NoProviderLeft
from farthing.guarantees.certificates import cascade as certificates
from farthing.ledger.memory import MemoryLedger
from farthing.pipeline.answer import answer
from farthing.types import Answer, Receipt, Tenant, replace
from farthing.wiring.build import build
from farthing.wiring.cascade import CascadeParts

CONFIG = """
[providers.a]
base_url = "{url}"
whole_s = 5.0
[tiers.cheap]
targets = ["a/mini"]
[tiers.expensive]
targets = ["a/big"]
[[prices]]
target = "a/mini"
input = 1
output = 2
[[prices]]
target = "a/big"
input = 10
output = 20
[[prices]]
target = "a/judge"
input = 3
output = 3
[route]
default = "cheap"
rules = []
{route}
[endpoints.e]
{terms}
[endpoints.e.cascade]
first = "cheap"
then = "expensive"
{cascade}
"""
LOGPROBS = 'checks = [{ kind = "logprobs", score_min = 0.5 }]'
JUDGE = 'checks = [{ kind = "plain" }, { kind = "judge", target = "a/judge" }]'
CONSISTENCY = 'checks = [{ kind = "consistency", samples = 3, score_min = 0.6 }]'


class Collected:
    """A sink that keeps what it is sent, and when the first of it came."""

    def __init__(self) -> None:
        self.sent = b""
        self.first_s = 0.0

    def send(self, events: bytes) -> None:
        self.first_s = self.first_s or time.monotonic()
        self.sent += events

    def when_writable(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        return None

    def outlive(self, left: Callable[[Callable[[], None]], bool]) -> None:
        return None

    def returned(self, lines: bytes) -> None:
        return None

    def closing(self, reply: Answer) -> Answer:
        return reply


class Journey:
    """One configuration with a cascade, wired."""

    def __init__(
        self,
        upstream: FaultProvider,
        cascade: str,
        terms: str,
        state_dir: Path | None = None,
        route: str = "",
    ) -> None:
        self.upstream = upstream
        self.ledger = MemoryLedger()
        self.parts = replace(parts_in_memory(self.ledger), cascades=CascadeParts(state_dir))
        config = CONFIG.format(url=upstream.base_url, cascade=cascade, terms=terms, route=route)
        self.serving = build(loads(config, {}), self.parts)
        self.before = len(upstream.calls)

    @property
    def called(self) -> list[str]:
        """The models of this journey's calls, in order."""
        return [call.model for call in self.upstream.calls[self.before :]]

    async def ask(
        self,
        text: str = "what is it",
        sink: Collected | None = None,
        *,
        model: str = "farthing/e",
        purpose: Any = "",
        tier: str | None = None,
        tenant: Tenant = ACME,
        **fields: Any,
    ) -> tuple[Answer, Receipt]:
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        now_s = time.monotonic()
        asked = Asked(id=f"r{now_s}", tenant=tenant, headers={}, received_s=now_s, body_bytes=99)
        request = replace(self.serving.reader.chat(body, asked), tier=tier)
        receipt = Receipt(
            request_id=request.id,
            at_unix_s=time.time(),
            started_s=now_s,
            endpoint=request.endpoint.name,
            purpose=purpose,
        )
        return await answer(request, self.serving.steps, receipt, sink or Collected()), receipt


Run = Callable[..., None]


@pytest.fixture
def run(upstream: FaultProvider) -> Iterator[Run]:
    """`run(what, cascade, terms, on_call, route)`: the journey of one configuration on a loop of its own."""

    def runner(
        what: Callable[[Journey], Coroutine[Any, Any, None]],
        cascade: str = "",
        terms: str = "",
        on_call: Callable[[Call], str | None] | None = None,
        state_dir: Path | None = None,
        route: str = "",
    ) -> None:
        async def main() -> None:
            journey = Journey(upstream, cascade, terms, state_dir, route)
            upstream.on_call = on_call
            try:
                await what(journey)
            finally:
                upstream.on_call = None
                await journey.parts.transport.aclose()
                await journey.parts.cascades.aclose()

        asyncio.run(main())
        until(lambda: upstream.connections_open == 0)

    yield runner


def says(**by_model: str) -> Callable[[Call], str | None]:
    """Each model's script."""
    return lambda call: by_model.get(call.model)


def asked_of(call: Call) -> Any:
    """What the provider was asked, decoded."""
    return json.loads(call.body)


def said(reply: Answer) -> str:
    return str(json.loads(reply.body)["choices"][0]["message"]["content"])


def streamed(sink: Collected, reply: Answer) -> list[Any]:
    found = []
    for event in (sink.sent + reply.body).split(b"\n\n"):
        if event.startswith(b"data: ") and event != b"data: [DONE]":
            found.append(json.loads(event[6:]))
    return found


def verdicts(*words: str) -> Callable[[Call], str | None]:
    """A judge that says the words in turn, with the code of the call; other models echo."""
    left = list(words)

    def on_call(call: Call) -> str | None:
        if call.model != "judge":
            return None
        code = re.search(r"GOOD-([0-9a-f]{8})", call.body.decode())
        assert code is not None
        return f"say={left.pop(0)}-{code[1]}"

    return on_call


# -- logprobs ---------------------------------------------------------------------------------------


def has_logprobs(whole: Any) -> bool:
    return any(choice.get("logprobs") is not None for choice in whole["choices"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("logprob", "tier"), [("-0.1", "cheap"), ("-2", "expensive")])
def test_an_unsure_model_is_escalated_and_the_client_sees_no_logprobs(
    run: Run, stream: bool, logprob: str, tier: str
) -> None:
    async def what(journey: Journey) -> None:
        sink = Collected()
        reply, receipt = await journey.ask(sink=sink, stream=stream)
        events = streamed(sink, reply) if stream else [json.loads(reply.body)]
        assert events and not any(has_logprobs(event) for event in events)
        assert receipt.tier == tier
        assert receipt.check_by == "logprobs"
        assert receipt.check_score == pytest.approx(2.718282 ** float(logprob))
        first, *others = journey.upstream.calls[journey.before :]
        assert asked_of(first)["logprobs"] is True
        assert all("logprobs" not in asked_of(call) for call in others)
        assert [one.tier for one in receipt.attempts] == ["cheap", *(["expensive"] if others else [])]

    run(what, LOGPROBS, on_call=says(mini=f"logprob={logprob}"))


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_asked_for_logprobs_gets_those_it_asked_for(run: Run, stream: bool) -> None:
    async def what(journey: Journey) -> None:
        for asked, seen in ((0, 0), (1, 1), (3, 2)):
            sink = Collected()
            top: dict[str, Any] = {"top_logprobs": asked} if asked else {}
            reply, _ = await journey.ask(sink=sink, stream=stream, logprobs=True, **top)
            events = streamed(sink, reply) if stream else [json.loads(reply.body)]
            tokens = [
                token
                for event in events
                for choice in event["choices"]
                for token in (choice.get("logprobs") or {}).get("content") or ()
            ]
            assert len(tokens) == 4, "every token of `echo: what is it`"
            assert {len(token["top_logprobs"]) for token in tokens} == {seen}

    run(what, 'checks = [{ kind = "logprobs", measure = "margin", score_min = 0.1 }]')


def test_without_a_threshold_a_score_is_observed_and_nothing_escalated(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask()
        assert (receipt.tier, journey.called) == ("cheap", ["mini"])
        assert receipt.check_score == pytest.approx(2.718282**-9)

    run(what, 'checks = [{ kind = "logprobs" }]', on_call=says(mini="logprob=-9"))
    assert "only observes a/mini" in caplog.text


def test_a_measured_threshold_decides_for_the_model_it_was_measured_for(run: Run, tmp_path: Path) -> None:
    shown = certificates.ModelThreshold(
        threshold=0.6, kept_share=0.5, n=1000, lost=3.0, p_value=0.01, audit_n=10, audit_lost=0, data_hash=""
    )
    certificate = certificates.CascadeCertificate(
        endpoint="e",
        risk_max=0.02,
        delta=0.1,
        models={"a/mini": shown},
        scope=certificates.CascadeScope(
            check="logprobs", how="mean", cheap="cheap", expensive="expensive", target="a/big"
        ),
        made_unix_s=time.time(),
    )
    certificates.save(certificates.path(tmp_path, "e"), certificate)
    logprobs = {"sure": "-0.4", "unsure": "-0.6"}

    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask("sure")
        assert (receipt.tier, receipt.doubt) == ("cheap", "")
        _, receipt = await journey.ask("unsure")
        assert receipt.tier == "expensive"
        assert receipt.doubt == "logprobs: mean of token probabilities 0.549, under 0.600"

    def on_call(call: Call) -> str:
        return f"logprob={logprobs[asked_of(call)['messages'][0]['content']]}"

    run(what, 'checks = [{ kind = "logprobs" }]', on_call=on_call, state_dir=tmp_path)


@pytest.mark.parametrize("stream", [False, True])
def test_a_target_that_takes_no_logprobs_answers_all_the_same_and_is_not_asked_again(
    run: Run, stream: bool
) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask(stream=stream)
        assert (receipt.tier, receipt.status) == ("cheap", 200)
        assert receipt.skipped == {"check:logprobs": "Unchecked"} and receipt.check_score is None
        assert [one.status for one in receipt.attempts] == [400, 200]
        _, receipt = await journey.ask("another", stream=stream)
        assert [one.status for one in receipt.attempts] == [200]

    run(what, LOGPROBS, on_call=lambda call: "status=400" if "logprobs" in asked_of(call) else None)


def test_a_request_that_is_itself_refused_is_refused_as_ever(run: Run) -> None:
    async def what(journey: Journey) -> None:
        with pytest.raises(NoProviderLeft):
            await journey.ask()

    run(what, LOGPROBS, on_call=lambda call: "status=400")


def test_a_contract_of_one_call_is_not_spent_on_asking_for_logprobs(run: Run) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask()
        assert (receipt.status, receipt.calls) == (200, 1)

    run(what, LOGPROBS, "calls_max = 1", lambda call: "status=400" if "logprobs" in asked_of(call) else None)


# -- judge ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_a_judge_lets_an_answer_out_or_has_it_escalated_and_all_calls_are_paid_for(
    run: Run, stream: bool
) -> None:
    async def what(journey: Journey) -> None:
        _, good = await journey.ask("one", stream=stream)
        assert journey.called == ["mini", "judge"] and good.tier == "cheap" and good.doubt == ""
        _, bad = await journey.ask("two", stream=stream)
        assert journey.called[2:] == ["mini", "judge", "big"]
        assert (bad.tier, bad.target, bad.calls) == ("expensive", "a/big", 3)
        assert bad.doubt == "judge: a/judge says it is not good enough"
        assert bad.attempts[0].error == f"low_confidence:{bad.doubt}"
        assert bad.route_reason == f"escalated from cheap by a check ({bad.doubt})"
        assert [one.tier for one in bad.attempts] == ["cheap", "check:judge", "expensive"]
        costs = [one.cost_nusd for one in bad.attempts]
        assert all(costs) and bad.cost_nusd == sum(cost or 0 for cost in costs)
        for one, (tokens_in, tokens_out) in zip(bad.attempts, ((1, 2), (3, 3), (10, 20)), strict=True):
            usage = one.usage
            assert usage is not None
            assert one.cost_nusd == 1000 * (usage.input_tokens * tokens_in + usage.output_tokens * tokens_out)
        assert bad.usage == bad.attempts[2].usage, "what the client is told is of the answer it got"

    run(what, JUDGE, on_call=verdicts("GOOD", "BAD"))


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (
            "status=500",
            ("NoProviderLeft", "TimeoutError"),
        ),  # it is asked once more, where there is time for it
        ("say=of course", ("Unchecked",)),
        ("delay=30", ("TimeoutError",)),
    ],
)
def test_a_judge_that_fails_babbles_or_is_late_is_skipped_and_that_is_said(
    run: Run, script: str, why: tuple[str, ...]
) -> None:
    async def what(journey: Journey) -> None:
        began_s = time.monotonic()
        reply, receipt = await journey.ask()
        assert time.monotonic() - began_s < 20.0
        assert (said(reply), receipt.tier, receipt.doubt) == ("echo: what is it", "cheap", "")
        assert list(receipt.skipped) == ["check:judge"] and receipt.skipped["check:judge"] in why
        assert receipt.attempts[1].tier == "check:judge" and receipt.attempts[1].cost_nusd is not None

    run(what, f"within_s = 0.3\n{JUDGE}", on_call=says(judge=script))


def test_a_check_may_not_take_the_call_that_the_escalation_needs(run: Run) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask()
        assert journey.called == ["mini"], "one call is left, and it is the escalation's"
        assert receipt.skipped == {"check:judge": "ContractExceeded"}
        _, receipt = await journey.ask("say I don't know")
        assert journey.called == ["mini", "mini", "big"]
        assert receipt.doubt.startswith("plain: ") and receipt.tier == "expensive"

    run(what, JUDGE, "calls_max = 2", lambda call: "say=I don't know" if "know" in str(call.body) else None)


def test_a_contract_of_one_call_lets_the_doubtful_answer_out_says_so_and_keeps_it_for_nobody(
    run: Run,
) -> None:
    async def what(journey: Journey) -> None:
        for stream in (False, True):
            sink = Collected()
            reply, receipt = await journey.ask(sink=sink, stream=stream)
            assert (receipt.status, receipt.tier, receipt.calls) == (200, "cheap", 1)
            assert receipt.doubt == 'plain: says "i don\'t know"'
            assert receipt.skipped == {"escalate": "ContractExceeded"}
            text = said(reply) if not stream else b"".join(sink.sent.split(b"\n"))
            assert "know" in str(text)

    run(what, "", "calls_max = 1", says(mini="say=I don't know"))


def test_checks_end_in_time_for_the_deadline(run: Run) -> None:
    async def what(journey: Journey) -> None:
        began_s = time.monotonic()
        reply, receipt = await journey.ask()
        assert time.monotonic() - began_s < 20.0
        assert receipt.status == 200 and said(reply) == "echo: what is it"
        assert receipt.skipped == {"check:judge": "TimeoutError"}

    run(what, JUDGE, "deadline_s = 1.5", says(judge="delay=30"))


def test_a_check_that_the_money_does_not_allow_is_skipped(run: Run) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask(max_tokens=5)
        assert journey.called == ["mini"]
        assert receipt.skipped == {"check:judge": "ContractExceeded"} and receipt.status == 200
        assert receipt.cost_nusd is not None and receipt.cost_nusd <= 200_000

    run(what, JUDGE, "usd_max = 0.0002", verdicts("GOOD"))


def test_a_client_that_leaves_during_the_checks_leaves_one_receipt_with_what_was_spent(run: Run) -> None:
    async def what(journey: Journey) -> None:
        asking = asyncio.create_task(journey.ask(stream=True))
        await asyncio.to_thread(until, lambda: len(journey.called) == 4)
        asking.cancel("gone")
        with pytest.raises(asyncio.CancelledError):
            await asking
        (row,) = [one for one in journey.ledger.rows() if isinstance(one, Receipt)]
        assert (row.status, row.stop_reason, row.calls) == (499, "client_gone", 4)
        assert [one.error for one in row.attempts] == [None, *["cancelled"] * 3]
        assert row.attempts[0].usage is not None and not row.attempts[0].usage.estimated
        assert row.cost_nusd == sum(one.cost_nusd or 0 for one in row.attempts)
        assert row.usage == row.attempts[0].usage and row.target == "a/mini"

    run(what, CONSISTENCY, on_call=lambda call: "hang" if asked_of(call).get("temperature") else None)


# -- consistency ------------------------------------------------------------------------------------


def test_samples_are_asked_at_once_at_a_temperature_and_counted(run: Run) -> None:
    answers = iter(["say=42", "say=42", "say=It is 42", "say=7", "say=42", "say=1", "say=2", "say=42"])

    async def what(journey: Journey) -> None:
        began_s = time.monotonic()
        reply, receipt = await journey.ask(temperature=0, seed=3)
        assert time.monotonic() - began_s < 2.0, "the three samples run at once"
        assert said(reply) == "42" and receipt.check_score == pytest.approx(2 / 3)
        assert journey.called == ["mini"] * 4 and receipt.calls == 4
        assert [one.tier for one in receipt.attempts] == ["cheap", *["check:consistency"] * 3]
        bodies = [asked_of(call) for call in journey.upstream.calls[journey.before :]]
        assert [body.get("temperature") for body in bodies] == [0, 0.7, 0.7, 0.7]
        assert [body.get("seed") for body in bodies] == [3, None, None, None]
        assert 950 < receipt.model_ms < 2_000, "what ran at the same time is waited for once"
        assert receipt.overhead_ms < 1_000 and receipt.total_ms >= receipt.model_ms
        reply, receipt = await journey.ask("again")
        assert receipt.tier == "expensive" and said(reply) == "echo: again"
        assert receipt.check_score == pytest.approx(1 / 3)

    run(
        what,
        CONSISTENCY,
        on_call=lambda call: f"{next(answers)},delay=0.5" if call.model == "mini" else None,
    )


# -- what is seen of the answer, and what the endpoint names -----------------------------------------


def test_an_answer_that_does_not_fit_the_schema_is_escalated(run: Run) -> None:
    form = {
        "type": "json_schema",
        "json_schema": {
            "name": "x",
            "schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        },
    }

    async def what(journey: Journey) -> None:
        reply, receipt = await journey.ask(response_format=form)
        assert receipt.doubt == "schema: not JSON" and receipt.tier == "expensive"
        assert "n" in json.loads(said(reply))
        _, receipt = await journey.ask("no schema asked for")
        assert receipt.tier == "cheap"

    run(what, "", on_call=says(mini="say=Sure!"))


def test_calls_of_tools_are_checked_by_their_arguments_alone(run: Run) -> None:
    def tool(kind: str) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {"city": {"type": kind}}, "required": ["city"]}
        return {"type": "function", "function": {"name": "weather", "parameters": parameters}}

    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask("use a tool: weather", tools=[tool("string")])
        assert journey.called == ["mini"] and receipt.stop_reason == "tool_calls"
        assert receipt.skipped == {} and "logprobs" not in asked_of(journey.upstream.calls[-1])

    run(what, 'checks = [{ kind = "plain" }, { kind = "schema" }, { kind = "logprobs", score_min = 0.99 }]')


def test_a_check_that_the_endpoint_names_decides(run: Run) -> None:
    checks = """checks = [
  { kind = "command", command = ["sh", "-c", "! grep -q broken"], name = "unit-test" },
  { kind = "regex", pattern = "TODO", absent = true },
]"""

    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask("fine")
        assert receipt.tier == "cheap"
        _, receipt = await journey.ask("a TODO")
        assert receipt.doubt == "regex: the pattern is found"
        _, receipt = await journey.ask("broken")
        assert receipt.doubt == "unit-test: exit 1" and receipt.tier == "expensive"

    run(what, checks)


# -- streams, caches, names ---------------------------------------------------------------------------


def test_a_stream_waits_for_the_checks_and_the_time_to_its_first_byte_is_told_as_it_was(run: Run) -> None:
    async def what(journey: Journey) -> None:
        sink = Collected()
        began_s = time.monotonic()
        _, receipt = await journey.ask(sink=sink, stream=True)
        assert sink.first_s - began_s > 1.0, "nothing went out before the judge had spoken"
        assert receipt.tier == "cheap"
        assert receipt.ttft_ms == pytest.approx((sink.first_s - began_s) * 1000, abs=900)
        assert receipt.attempts[0].total_ms is not None and receipt.attempts[0].total_ms < 1_000

    judge = verdicts("GOOD")
    run(what, JUDGE, on_call=lambda call: f"{judge(call)},delay=1.0" if call.model == "judge" else None)


def test_an_endpoint_may_have_streams_skip_the_first_tier(run: Run) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask(stream=True)
        assert journey.called == ["big"] and receipt.tier == "expensive"
        assert receipt.route_reason.endswith("streamed, so not checked: straight to expensive")
        _, receipt = await journey.ask("whole")
        assert journey.called[1:] == ["mini"]

    run(what, 'streams = "skip"')


def test_what_the_client_names_is_not_escalated(run: Run) -> None:
    async def what(journey: Journey) -> None:
        for model in ("a/mini", "mini", "cheap"):
            _, receipt = await journey.ask(model, model=model)
            assert receipt.calls == 1 and receipt.doubt == ""

    run(what, "", on_call=says(mini="say=I don't know"))


@pytest.mark.parametrize("stream", [False, True])
def test_the_cache_keeps_the_answer_of_the_escalation_without_our_logprobs(run: Run, stream: bool) -> None:
    async def what(journey: Journey) -> None:
        for text, script, models in (("unsure", "logprob=-5", ["mini", "big"]), ("sure", "", ["mini"])):
            journey.before = len(journey.upstream.calls)
            journey.upstream.on_call = says(mini=script)
            sink = Collected()
            await journey.ask(text, sink, stream=stream)
            assert journey.called == models
            again = Collected()
            reply, receipt = await journey.ask(text, again, stream=not stream)
            assert receipt.cache == "exact" and receipt.calls == 0
            assert receipt.target == f"a/{models[-1]}"
            events = streamed(again, reply) if not stream else [json.loads(reply.body)]
            assert not any(has_logprobs(event) for event in events)

    run(what, LOGPROBS)


def test_an_answer_asked_to_compare_tiers_is_scored_and_not_escalated(run: Run) -> None:
    async def what(journey: Journey) -> None:
        reply, receipt = await journey.ask(purpose="explore", tier="cheap")
        assert (receipt.tier, journey.called) == ("cheap", ["mini"])
        assert receipt.check_score == pytest.approx(2.718282**-5) and receipt.doubt == ""
        assert not has_logprobs(json.loads(reply.body))
        _, receipt = await journey.ask(purpose="explore", tier="expensive")
        assert (receipt.tier, receipt.check_score) == ("expensive", None)

    run(what, LOGPROBS, on_call=says(mini="logprob=-5"))


# -- a whole gateway ----------------------------------------------------------------------------------


GATEWAY = CONFIG.replace("{route}", "").replace(
    'base_url = "{url}"', 'base_url = "{url}"\ninclude_usage = true'
)


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider) -> Running:
    checks = (
        'checks = [{ kind = "plain" }, { kind = "logprobs", score_min = 0.5 },'
        ' { kind = "judge", target = "a/judge" }]'
    )
    return start_gateway(GATEWAY.format(url=upstream.base_url, cascade=checks, terms=""))


@pytest.mark.slow
@pytest.mark.parametrize("logprob", [-0.1, -3.0])
def test_the_official_client_sees_an_answer_as_any_other(
    gateway: Running, upstream: FaultProvider, logprob: float
) -> None:
    judge = verdicts("GOOD", "GOOD")
    upstream.on_call = lambda call: f"logprob={logprob}" if call.model == "mini" else judge(call)
    try:
        with OpenAI(base_url=gateway.base_url, api_key="none") as client:
            whole = client.chat.completions.create(
                model="farthing/e", messages=[{"role": "user", "content": f"whole {logprob}"}]
            )
            assert whole.choices[0].message.content == f"echo: whole {logprob}"
            assert whole.choices[0].logprobs is None and whole.model_extra in ({}, None)
            assert whole.model == ("mini" if logprob > -1 else "big")
            chunks = list(
                client.chat.completions.create(
                    model="farthing/e",
                    messages=[{"role": "user", "content": f"stream {logprob}"}],
                    stream=True,
                )
            )
            assert (
                "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == f"echo: stream {logprob}"
            )
            assert all(chunk.choices[0].logprobs is None for chunk in chunks)
            assert all(chunk.model_extra in ({}, None) for chunk in chunks)
    finally:
        upstream.on_call = None
    last = gateway.receipts()[-1]
    assert last.check_by == "logprobs" and last.calls == 2
    assert last.tier == ("cheap" if logprob > -1 else "expensive")
    assert last.cost_nusd == sum(one.cost_nusd or 0 for one in last.attempts)
