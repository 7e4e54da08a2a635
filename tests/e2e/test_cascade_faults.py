"""A cascade when things go wrong: providers that break, clients that leave, contracts that end."""

import asyncio

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import until
from tests.e2e.test_cascade import (
    GATEWAY,
    JUDGE,
    LOGPROBS,
    Collected,
    Journey,
    Run,
    asked_of,
    said,
    says,
    verdicts,
)
from tests.e2e.test_cascade import run as run
from tests.faults.provider import FaultProvider

from farthing.errors import NoProviderLeft
from farthing.types import Receipt, Tenant


def receipts(journey: Journey) -> list[Receipt]:
    return [one for one in journey.ledger.rows() if isinstance(one, Receipt)]


def test_a_client_that_leaves_while_the_first_answer_is_gathered_leaves_its_cost(run: Run) -> None:
    async def what(journey: Journey) -> None:
        asking = asyncio.create_task(journey.ask("one two three four five six", stream=True))
        await asyncio.to_thread(until, lambda: len(journey.called) == 1)
        await asyncio.sleep(0.4)
        asking.cancel("gone")
        with pytest.raises(asyncio.CancelledError):
            await asking
        (row,) = receipts(journey)
        assert (row.status, row.calls) == (499, 1)
        usage = row.attempts[0].usage
        assert usage is not None and usage.estimated and usage.output_tokens > 0
        assert (
            row.cost_nusd
            == row.attempts[0].cost_nusd
            == 1000 * (usage.input_tokens + 2 * usage.output_tokens)
        )

    run(what, JUDGE, on_call=says(mini="gap=0.1"))


def test_a_first_stream_that_breaks_is_escalated_unseen_and_its_target_is_known_to_fail(run: Run) -> None:
    async def what(journey: Journey) -> None:
        for number in range(12):
            sink = Collected()
            _, receipt = await journey.ask(f"one two three four {number}", sink=sink, stream=True)
            assert (receipt.status, receipt.tier) == (200, "expensive")
            assert b"mini" not in sink.sent
        assert receipt.attempts[0].target == "a/big", "the first tier rests"
        broken = receipts(journey)[0]
        assert broken.doubt == "stream_broken" and broken.attempts[0].error == "low_confidence:stream_broken"
        assert broken.cost_nusd == sum(one.cost_nusd or 0 for one in broken.attempts)

    run(what, JUDGE, on_call=says(mini="truncate=2,end=reset"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", ["status=500", "status=429", "reset"])
def test_a_first_tier_that_does_not_answer_is_escalated_too(run: Run, script: str, stream: bool) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask(stream=stream)
        assert (receipt.status, receipt.tier, receipt.doubt) == (200, "expensive", "no_provider_left")
        assert receipt.route_reason == "escalated from cheap by a check (no_provider_left)"
        assert receipt.cost_nusd == sum(one.cost_nusd or 0 for one in receipt.attempts)

    run(what, JUDGE, on_call=says(mini=script))


def test_where_no_tier_answers_the_reasons_of_all_are_told(run: Run) -> None:
    async def what(journey: Journey) -> None:
        with pytest.raises(NoProviderLeft) as told:
            await journey.ask()
        assert {one.target for one in told.value.failures} == {"a/mini", "a/big"}
        (row,) = receipts(journey)
        assert (row.status, row.cost_nusd) == (502, 0)
        assert row.attempts[0].target == "a/mini" and all(a.target == "a/big" for a in row.attempts[1:])

    run(what, JUDGE, on_call=lambda call: "status=500")


def test_of_a_first_stream_that_breaks_nothing_goes_out_where_nobody_else_answers(run: Run) -> None:
    async def what(journey: Journey) -> None:
        sink = Collected()
        with pytest.raises(NoProviderLeft):
            await journey.ask("one two three four", sink=sink, stream=True)
        assert sink.sent == b""
        (row,) = receipts(journey)
        assert (row.status, row.error) == (502, "no_provider_left")
        assert row.attempts[0].error == "stream_broken" and row.skipped == {"escalate": "NoProviderLeft"}
        assert row.cost_nusd == row.attempts[0].cost_nusd and row.cost_nusd
        assert row.usage is None and row.baseline_nusd is None, "no answer, so nothing is saved"

    run(what, JUDGE, on_call=says(mini="truncate=2,end=reset", big="status=500"))


def test_a_whole_doubtful_answer_is_better_than_a_part_of_the_escalations(run: Run) -> None:
    async def what(journey: Journey) -> None:
        reply, receipt = await journey.ask("one two three four")
        assert said(reply) == "I don't know" and (receipt.status, receipt.tier) == (200, "cheap")
        assert receipt.stop_reason == "stop" and receipt.usage == receipt.attempts[0].usage
        assert receipt.skipped == {"escalate": "ContractExceeded"}
        costs = [one.cost_nusd for one in receipt.attempts]
        assert len(costs) == 2 and all(costs) and receipt.cost_nusd == sum(cost or 0 for cost in costs)

    terms = 'deadline_s = 0.5\non_limit = "partial"'
    run(what, 'checks = [{ kind = "plain" }]', terms, says(mini="say=I don't know", big="gap=0.3"))


def test_the_judge_has_room_for_its_word_where_answers_are_short(run: Run) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask()
        first, judge = journey.upstream.calls[journey.before :]
        assert asked_of(first)["max_tokens"] == 10 and asked_of(judge)["max_tokens"] == 24
        assert receipt.skipped == {}

    run(what, JUDGE, "output_tokens_max = 10", verdicts("GOOD"))


def test_another_try_of_a_check_does_not_take_the_call_of_the_escalation(run: Run) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask()
        assert journey.called == ["mini", "judge"] and receipt.skipped == {"check:judge": "NoProviderLeft"}

    run(what, JUDGE, "calls_max = 3", says(judge="reset"))


def test_what_a_target_refuses_of_one_tenant_ends_no_checks_of_another(run: Run) -> None:
    async def what(journey: Journey) -> None:
        await journey.ask("one")
        assert ["logprobs" in asked_of(call) for call in journey.upstream.calls[-2:]] == [True, False]
        _, receipt = await journey.ask("two")
        assert receipt.calls == 1, "it is not tried again for this tenant"
        _, receipt = await journey.ask("three", tenant=Tenant(name="globex"))
        assert receipt.calls == 2

    run(what, LOGPROBS, on_call=lambda call: "status=400" if "logprobs" in asked_of(call) else None)


def test_an_answer_on_which_a_command_hangs_is_doubted_not_skipped(run: Run) -> None:
    async def what(journey: Journey) -> None:
        _, receipt = await journey.ask()
        assert receipt.doubt == "command: over 0.8 s" and receipt.tier == "expensive"
        assert receipt.skipped == {}

    run(what, 'within_s = 1.0\nchecks = [{ kind = "command", command = ["sleep", "30"] }]')


def test_every_check_is_made_in_a_whole_gateway(start_gateway: StartGateway, upstream: FaultProvider) -> None:
    checks = """checks = [
  { kind = "regex", pattern = "TODO+", absent = true },
  { kind = "command", command = ["sh", "-c", "! grep -q broken"] },
  { kind = "consistency", samples = 2, score_min = 0.5 },
]"""
    gateway = start_gateway(GATEWAY.format(url=upstream.base_url, cascade=checks, terms=""))
    for text in ("fine", "a TODO", "broken"):
        assert gateway.chat(text, model="farthing/e").status == 200
    rows = gateway.receipts()
    assert [row.doubt for row in rows] == ["", "regex: the pattern is found", "command: exit 1"]
    assert [row.skipped for row in rows] == [{}, {}, {}]
    assert rows[0].check_score == 1.0
