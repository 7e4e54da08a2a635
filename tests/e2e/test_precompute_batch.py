"""Answered ahead in a batch: cheaper, told once, and picked up again by whoever comes after a crash."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.gateway import Running, running, start, until
from tests.e2e.test_precompute import errands, lines, precompute
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call
from tests.sampled import some_of

from farthing.jobs.prewarm.run import Order, leave_order
from farthing.types import Receipt

CONFIG = """
[providers.faults]
base_url = "{url}"
batch = true
{more}

[tiers.cheap]
targets = ["faults/small"]

[endpoints.faq]
tier = "cheap"

[endpoints.faq.cache.semantic]
mode = "on"
threshold = 0.6
audit_share = 0.000001

[[prices]]
target = "faults/small"
input = 1000
output = 2000
{prices}

[cache]
exact = "{exact}"
ttl_s = 86400

[brain]
timeout_s = 2.0

[precompute]
file = "questions.jsonl"
usd_max = {usd_max}

[jobs]
per_minute = 6000
"""
BATCH_PRICES = "batch_input = 400\nbatch_output = 900"
THINGS = [
    "card",
    "loan",
    "branch",
    "cheque",
    "transfer",
    "mortgage",
    "deposit",
    "currency",
    "pension",
    "safe",
]
QUESTIONS = [f"What does a {one} cost?" for one in THINGS] + ["Where are you?", "Who may open an account?"]


def prepare(folder: Path, provider: FaultProvider, **changes: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "questions.jsonl").write_text(lines(*QUESTIONS))
    given = {"usd_max": "50", "prices": BATCH_PRICES, "exact": "off", "more": "", **changes}
    config = CONFIG.format(url=provider.base_url, **given)
    (folder / "farthing.toml").write_text(config)
    return config


def asked(provider: FaultProvider) -> list[Call]:
    """Every question that was answered or refused, in a batch or singly."""
    return [call for call in provider.calls if call.path.endswith("/chat/completions")]


def truth_nusd(provider: FaultProvider) -> int:
    """What the provider's own count comes to: batch prices for lines of batches."""
    return sum(
        call.prompt_tokens * (400_000 if call.batch else 1_000_000)
        + call.completion_tokens * (900_000 if call.batch else 2_000_000)
        for call in asked(provider)
    )


def told(folder: Path, *args: str) -> dict[str, Any]:
    done = precompute(folder, "--json", *args)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def cache_of(gateway: Running, question: str) -> str:
    reply = gateway.chat(question, model="farthing/faq")
    assert reply.status == 200, reply.body
    return reply.headers["x-farthing-cache"]


def one_of_each(gateway: Running) -> list[Receipt]:
    """The receipts of the run: one for each question, each with the one intent that came before it."""
    rows = errands(gateway)
    assert len(rows) == len({row.request_id for row in rows}) == len({row.about for row in rows})
    return rows


@pytest.fixture
def provider() -> Iterator[FaultProvider]:
    with FaultProvider() as found:
        yield found


def ready(gateway: Running) -> None:
    until(lambda: gateway.metric("farthing_semantic_ready") == 1, 30)


def test_a_run_goes_up_in_one_batch_and_its_answers_are_served_to_similar_questions(
    provider: FaultProvider, tmp_path: Path
) -> None:
    provider.desk.outcome = "completed"
    with running(prepare(tmp_path, provider), tmp_path) as gateway:
        ready(gateway)
        outcome = told(tmp_path)
        assert (outcome["answered"], outcome["failed"], outcome["ended"]) == (12, 0, "done"), gateway.logged()
        assert outcome["in_batch"] == 0 and len(provider.desk.created) == 1
        assert [call.batch for call in asked(provider)] == ["batch_1"] * 12
        rows = one_of_each(gateway)
        assert len(rows) == 12 and {row.status for row in rows} == {200}
        assert {(row.target, len(row.attempts), row.calls) for row in rows} == {("faults/small", 1, 1)}
        assert sum(row.cost_nusd or 0 for row in rows) == outcome["cost_nusd"] == truth_nusd(provider) > 0
        intents = [row.request_id for row in gateway.rows() if not isinstance(row, Receipt)]
        assert sorted(intents) == sorted(row.request_id for row in rows)
        assert {call.request_id for call in asked(provider)} == set(intents)
        until(lambda: gateway.metric("farthing_semantic_entries") >= 12)
        assert cache_of(gateway, QUESTIONS[0]) == "semantic"
        assert cache_of(gateway, "What does a loan cost, please?") == "semantic"
        assert len(asked(provider)) == 12
        assert not list((gateway.state / "batches").iterdir())
        assert {call.headers.get("authorization") for call in provider.calls if not call.batch} == {None}


def test_the_exact_cache_has_the_answers_too(provider: FaultProvider, tmp_path: Path) -> None:
    provider.desk.outcome = "completed"
    with running(prepare(tmp_path, provider, exact="on"), tmp_path) as gateway:
        assert told(tmp_path)["answered"] == 12
        assert cache_of(gateway, QUESTIONS[0]) == "exact" and len(asked(provider)) == 12


def test_the_key_goes_with_every_call_and_the_certificate_is_checked(tmp_path: Path) -> None:
    with FaultProvider(tls="good") as provider:
        provider.desk.outcome = "completed"
        more = f'api_key = "${{BATCH_KEY}}"\nca_file = "{provider.ca_file}"'
        config = prepare(tmp_path, provider, more=more)
        with running(config, tmp_path, {"BATCH_KEY": "sk-of-a-test"}) as gateway:
            leave_order(gateway.state, Order(id="by-hand"))
            until(lambda: len(errands(gateway)) == 12, 30)
            upstream = [call for call in provider.calls if not call.batch]
            assert {call.headers["authorization"] for call in upstream} == {"Bearer sk-of-a-test"}
            assert {call.path.split("/")[2] for call in upstream} == {"files", "batches"}
            assert "sk-of-a-test" not in gateway.logged()


def test_without_batch_prices_the_normal_ones_are_reckoned_and_the_dry_run_says_so(
    provider: FaultProvider, tmp_path: Path
) -> None:
    prepare(tmp_path, provider, prices="")
    shown = precompute(tmp_path, "--dry-run").stdout
    assert "in a batch       12 to faults/small at $1000 and $2000" in shown
    assert "no batch price is known" in shown
    prepare(tmp_path, provider)
    shown = precompute(tmp_path, "--dry-run").stdout
    assert "12 to faults/small at $400 and $900" in shown and "instead of $1000 and $2000" in shown
    batch = told(tmp_path, "--dry-run")["batches"][0]
    assert batch["target"] == "faults/small" and len(batch["keys"]) == 12
    assert not provider.calls


def test_few_questions_and_those_of_a_provider_without_batches_are_asked_singly(
    provider: FaultProvider, tmp_path: Path
) -> None:
    config = prepare(tmp_path, provider)
    (tmp_path / "questions.jsonl").write_text(lines(*QUESTIONS[:9]))
    with running(config, tmp_path):
        assert told(tmp_path)["answered"] == 9
    config = prepare(tmp_path / "two", provider).replace("batch = true\n", "")
    with running(config, tmp_path / "two"):
        (tmp_path / "two" / "farthing.toml").write_text(config)
        assert told(tmp_path / "two")["answered"] == 12
    assert not provider.desk.created and len(asked(provider)) == 21


def test_a_failed_line_is_told_in_its_receipt_costs_nothing_and_spoils_no_other(tmp_path: Path) -> None:
    def on_call(call: Call) -> str:
        return "status=500" if b"branch" in call.body and call.batch else ""

    with FaultProvider(on_call=on_call) as provider:
        provider.desk.outcome = "completed"
        with running(prepare(tmp_path, provider), tmp_path) as gateway:
            outcome = told(tmp_path)
            assert (outcome["answered"], outcome["failed"]) == (11, 1)
            failed = [row for row in one_of_each(gateway) if row.error]
            assert len(failed) == 1 and failed[0].cost_nusd == 0 and failed[0].target == ""
            attempt = failed[0].attempts[0]
            assert (attempt.target, attempt.status) == ("faults/small", 500)
            assert attempt.error == "provider_unavailable"
            assert outcome["cost_nusd"] == truth_nusd(provider)


def test_what_a_batch_did_not_come_to_before_it_expired_is_told_and_not_charged(
    provider: FaultProvider, tmp_path: Path
) -> None:
    provider.desk.outcome, provider.desk.answered_max = "expired", 7
    with running(prepare(tmp_path, provider), tmp_path) as gateway:
        outcome = told(tmp_path)
        assert (outcome["answered"], outcome["failed"]) == (7, 5)
        rows = one_of_each(gateway)
        assert {row.attempts[0].error for row in rows if row.error} == {"provider_timeout"}
        assert sum(row.cost_nusd or 0 for row in rows) == truth_nusd(provider) == outcome["cost_nusd"]
        assert all("expired" in row.error_message for row in rows if row.error)


def test_a_batch_that_fails_as_a_whole_says_why(provider: FaultProvider, tmp_path: Path) -> None:
    provider.desk.outcome = "failed"
    with running(prepare(tmp_path, provider), tmp_path) as gateway:
        outcome = told(tmp_path)
        assert (outcome["answered"], outcome["failed"], outcome["cost_nusd"]) == (0, 12, 0)
        assert all("No such model." in row.error_message for row in one_of_each(gateway))


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches"])
def test_an_upload_that_is_refused_leaves_receipts_and_no_batch(tmp_path: Path, path: str) -> None:
    def on_call(call: Call) -> str:
        return "status=400" if call.path == path else ""

    with FaultProvider(on_call=on_call) as provider:
        with running(prepare(tmp_path, provider), tmp_path) as gateway:
            outcome = told(tmp_path)
            assert (outcome["failed"], outcome["cost_nusd"]) == (12, 0)
            assert {row.attempts[0].error for row in one_of_each(gateway)} == {"provider_rejected"}
        assert not provider.desk.created


def test_a_batch_whose_creation_was_not_heard_of_is_found_and_not_created_again(tmp_path: Path) -> None:
    seen: list[str] = []

    def on_call(call: Call) -> str:
        seen.append(call.path)
        return "reset" if call.path == "/v1/batches" and seen.count("/v1/batches") == 1 else ""

    with FaultProvider(on_call=on_call) as provider:
        provider.desk.outcome = "completed"
        with running(prepare(tmp_path, provider), tmp_path) as gateway:
            assert told(tmp_path)["answered"] == 12, gateway.logged()
            assert len(one_of_each(gateway)) == 12
        assert len(provider.desk.created) == 1 and len(asked(provider)) == 12


def killed(gateway: Running) -> None:
    gateway.signal(signal.SIGKILL)
    gateway.process.wait()
    assert gateway.process.stdout is not None
    gateway.process.stdout.close()


@pytest.mark.parametrize("moment", ["submitted", "uploading"])
def test_after_a_kill_the_next_process_takes_the_answers_and_submits_nothing_again(
    tmp_path: Path, moment: str
) -> None:
    creating = threading.Event()

    def on_call(call: Call) -> str:
        if call.path == "/v1/batches" and call.body:
            creating.set()
            return "delay=30" if moment == "uploading" else ""
        return ""

    with FaultProvider(on_call=on_call) as provider:
        config = prepare(tmp_path, provider)
        first = start(config, tmp_path)
        leave_order(first.state, Order(id="by-hand"))
        assert creating.wait(60)
        if moment == "submitted":
            until(lambda: any(call.path == "/v1/batches/batch_1" for call in provider.calls))
        killed(first)
        assert not errands(first)
        provider.desk.outcome = "completed"
        with running(config, tmp_path) as second:
            until(lambda: len(errands(second)) == 12, 30)
            rows = one_of_each(second)
            assert {row.error for row in rows} == {None}
            assert sum(row.cost_nusd or 0 for row in rows) == truth_nusd(provider)
            intents = [row.request_id for row in second.rows() if not isinstance(row, Receipt)]
            assert sorted(intents) == sorted(row.request_id for row in rows)
            until(lambda: not list((second.state / "batches").iterdir()))
        with running(config, tmp_path) as third:
            ready(third)
            assert cache_of(third, QUESTIONS[1]) == "semantic"
            assert len(errands(third)) == 12
        assert len(provider.desk.created) == 1 and len(asked(provider)) == 12


def test_a_drain_leaves_the_batch_under_way_and_writes_no_receipt_for_it(
    provider: FaultProvider, tmp_path: Path
) -> None:
    config = prepare(tmp_path, provider)
    with running(config, tmp_path) as gateway:
        leave_order(gateway.state, Order(id="by-hand"))
        until(lambda: provider.desk.created, 20)
        assert gateway.stop() == 0
        assert not errands(gateway)
    provider.desk.outcome = "completed"
    assert told(tmp_path)["in_batch"] == 0  # by the command, alone
    with running(config, tmp_path) as gateway:
        assert len(one_of_each(gateway)) == 12
    assert len(provider.desk.created) == 1


def test_the_worst_case_of_a_batch_stays_within_the_budget(provider: FaultProvider, tmp_path: Path) -> None:
    provider.desk.outcome = "completed"
    with running(prepare(tmp_path, provider, usd_max="4"), tmp_path) as gateway:
        outcome = told(tmp_path)
        spent = sum(row.cost_nusd or 0 for row in one_of_each(gateway))
        assert 0 < spent == outcome["cost_nusd"] == truth_nusd(provider) <= 4_000_000_000
        caps = [call.json["max_tokens"] for call in asked(provider) if call.batch]
        bound_nusd = sum(cap * 900_000 for cap in caps)
        assert len(caps) >= 10 and bound_nusd <= 4_000_000_000


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "twice": lambda content: content + content,
    "strange": lambda content: b'{"custom_id":"nobody","response":{"status_code":200,"body":{}}}\n' + content,
    "broken": lambda content: b'{"custom_id":7}\n\xff\xfe\n[]\n\n{"custom_id"\n' + content,
    "backwards": lambda content: b"\n".join(content.splitlines()[::-1]),
}


@pytest.mark.parametrize("how", some_of(HOSTILE, {"twice", "broken"}))
def test_hostile_lines_of_a_result_change_nothing(provider: FaultProvider, tmp_path: Path, how: str) -> None:
    provider.desk.outcome, provider.desk.spoil = "completed", HOSTILE[how]
    with running(prepare(tmp_path, provider), tmp_path) as gateway:
        assert told(tmp_path)["answered"] == 12
        assert len(one_of_each(gateway)) == 12


def test_a_line_that_is_missing_is_told_and_not_charged(provider: FaultProvider, tmp_path: Path) -> None:
    provider.desk.outcome = "completed"
    provider.desk.spoil = lambda content: b"".join(content.splitlines(keepends=True)[1:])
    with running(prepare(tmp_path, provider), tmp_path) as gateway:
        outcome = told(tmp_path)
        assert (outcome["answered"], outcome["failed"]) == (11, 1)
        missing = next(row for row in one_of_each(gateway) if row.error)
        assert missing.cost_nusd == 0 and "without an answer" in missing.error_message
