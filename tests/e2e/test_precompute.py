"""Answered ahead: by the running gateway or by the command, once, within the budget, accounted for."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.gateway import ROOT, Running, running, until
from tests.faults.provider import FaultProvider

from farthing.jobs.prewarm.run import Order, leave_order
from farthing.types import Receipt

CONFIG = """
[providers.faults]
base_url = "{url}"

[tiers.cheap]
targets = ["faults/small"]

[endpoints.faq]
tier = "cheap"

[[prices]]
target = "faults/small"
input = 1000
output = 2000

[cache]
ttl_s = 86400
{store}

[precompute]
file = "questions.jsonl"
usd_max = {usd_max}

[jobs]
per_minute = 6000
"""
SQLITE = '[cache.store]\nkind = "sqlite"'
QUESTIONS = ["What does a card cost?", "Where are you?", "Who may open an account?"]


def price_nusd(provider: FaultProvider) -> int:
    """What the provider's own count comes to."""
    return sum(call.prompt_tokens * 1_000_000 + call.completion_tokens * 2_000_000 for call in provider.calls)


def lines(*questions: str, **fields: Any) -> str:
    return "\n".join(json.dumps({"question": one, "endpoint": "faq", **fields}) for one in questions)


def precompute(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "farthing", "precompute", "--config", str(folder / "farthing.toml"), *args],
        capture_output=True,
        text=True,
        timeout=50,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "FARTHING__STATE_DIR": str(folder / "state"),
            "FARTHING__SERVER__PORT": "0",  # as the gateway of these tests has it: a policy has all of it
        },
    )


def prepare(folder: Path, provider: FaultProvider, *, usd_max: str = "1", store: str = "") -> str:
    (folder / "questions.jsonl").write_text(lines(*QUESTIONS))
    config = CONFIG.format(url=provider.base_url, usd_max=usd_max, store=store)
    (folder / "farthing.toml").write_text(config)
    return config


def ask(gateway: Running, question: str) -> Receipt:
    return gateway.receipt_of(gateway.chat(question, model="farthing/faq"))


def errands(gateway: Running) -> list[Receipt]:
    return [row for row in gateway.receipts() if row.purpose == "precompute"]


def test_a_running_gateway_answers_ahead_and_clients_find_the_answers(tmp_path: Path) -> None:
    with FaultProvider() as provider, running(prepare(tmp_path, provider), tmp_path) as gateway:
        told = precompute(tmp_path, "--json")
        assert told.returncode == 0, told.stderr
        outcome = json.loads(told.stdout)
        assert (outcome["answered"], outcome["failed"], outcome["ended"]) == (3, 0, "done")
        assert outcome["by"] == "the running gateway"
        assert "3 of 3" in told.stderr
        assert len(provider.calls) == 3
        assert [ask(gateway, question).cache for question in QUESTIONS] == ["exact"] * 3
        assert len(provider.calls) == 3
        rows = errands(gateway)
        assert len(rows) == 3 and len({row.about for row in rows}) == 3
        assert {row.endpoint for row in rows} == {"faq"}
        assert sum(row.cost_nusd or 0 for row in rows) == outcome["cost_nusd"] == price_nusd(provider)


def test_a_dry_run_asks_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    with FaultProvider() as provider:
        prepare(tmp_path, provider)
        told = precompute(tmp_path, "--dry-run", "--json")
        assert told.returncode == 0, told.stderr
        plan = json.loads(told.stdout)["plan"]
        assert [one["candidate"]["question"] for one in plan["questions"]] == QUESTIONS
        assert plan["unknown"] == 3 and plan["saving_nusd"] == 0
        shown = precompute(tmp_path, "--dry-run")
        assert "3 questions to answer ahead, nothing was counted yet" in shown.stdout
        assert "unknown" in shown.stdout and QUESTIONS[0] in shown.stdout
        assert not provider.calls and not (tmp_path / "state").exists()


def test_without_a_gateway_the_command_does_it_where_a_cache_outlives_it(tmp_path: Path) -> None:
    with FaultProvider() as provider:
        config = prepare(tmp_path, provider, store=SQLITE)
        told = precompute(tmp_path, "--json")
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["by"] == "this command" and len(provider.calls) == 3
        with running(config, tmp_path) as gateway:
            assert [ask(gateway, question).cache for question in QUESTIONS] == ["exact"] * 3
            assert len(errands(gateway)) == 3  # its receipts lie in the same ledger
        assert len(provider.calls) == 3


def test_without_a_gateway_and_a_cache_that_lasts_it_says_what_to_do(tmp_path: Path) -> None:
    with FaultProvider() as provider:
        prepare(tmp_path, provider)
        told = precompute(tmp_path)
        assert told.returncode == 2 and "start the gateway" in told.stderr
        assert not provider.calls


def test_no_more_is_spent_than_the_budget_whatever_is_listed(tmp_path: Path) -> None:
    with FaultProvider() as provider:
        config = prepare(tmp_path, provider, usd_max="1")
        (tmp_path / "questions.jsonl").write_text(
            lines(*(f"{one} {i}" for i in range(20) for one in QUESTIONS))
        )
        with running(config, tmp_path) as gateway:
            outcome = json.loads(precompute(tmp_path, "--json").stdout)
            spent = sum(row.cost_nusd or 0 for row in errands(gateway))
            assert 0 < spent == outcome["cost_nusd"] == price_nusd(provider) <= 1_000_000_000
            assert 10 < len(provider.calls) < 60 and outcome["ended"] == "budget"


def test_a_question_that_fails_is_told_and_not_tried_twice(tmp_path: Path) -> None:
    with FaultProvider() as provider, running(prepare(tmp_path, provider), tmp_path) as gateway:
        provider.script("status=400", "good", "good")
        told = precompute(tmp_path, "--json")
        outcome = json.loads(told.stdout)
        assert (outcome["answered"], outcome["failed"], told.returncode) == (2, 1, 1)
        assert len(provider.calls) == 3
        assert sorted(row.error or "" for row in errands(gateway))[:2] == ["", ""]


def test_a_broken_list_is_told_with_its_line_and_the_gateway_goes_on(tmp_path: Path) -> None:
    with FaultProvider() as provider, running(prepare(tmp_path, provider), tmp_path) as gateway:
        (tmp_path / "questions.jsonl").write_text(lines(*QUESTIONS) + '\n{"question": 5}\n')
        told = precompute(tmp_path, "--dry-run")
        assert told.returncode == 2 and "questions.jsonl:4" in told.stderr
        assert ask(gateway, "hello").status == 200


def test_a_drain_cuts_a_run_and_leaves_a_receipt_for_what_was_under_way(tmp_path: Path) -> None:
    slow = threading.Event()

    def on_call(call: Any) -> str:
        slow.set()
        return "delay=30"

    with FaultProvider(on_call=on_call) as provider:
        config = prepare(tmp_path, provider)
        with running(config, tmp_path) as gateway:
            leave_order(tmp_path / "state", Order(id="by-hand"))  # whole at once: a half one is taken away
            assert slow.wait(60)
            assert gateway.stop() == 0
            rows = [row for row in gateway.receipts() if row.purpose == "precompute"]
            assert rows and {row.error for row in rows} == {"draining"}


@pytest.mark.parametrize("raw", [b"", b"\x00\xff", b'{"id": 7}', b'{"id":"x","endpoint":"nowhere"}'])
def test_an_order_that_cannot_be_read_harms_nothing(tmp_path: Path, raw: bytes) -> None:
    with FaultProvider() as provider, running(prepare(tmp_path, provider), tmp_path) as gateway:
        order = tmp_path / "state" / "precompute.order"
        order.write_bytes(raw)
        until(lambda: not order.exists())
        assert ask(gateway, "hello").status == 200
        assert len(provider.calls) == 1


def test_a_command_whose_gateway_dies_says_so_and_leaves_no_order_behind(tmp_path: Path) -> None:
    with FaultProvider(on_call=lambda call: "delay=30") as provider:
        with running(prepare(tmp_path, provider), tmp_path) as gateway:
            done: list[subprocess.CompletedProcess[str]] = []
            asking = threading.Thread(target=lambda: done.append(precompute(tmp_path)))
            asking.start()
            until(lambda: provider.calls)
            gateway.process.kill()
            gateway.process.wait()
            asking.join(timeout=30)
            assert done, "it waits for what cannot come"
        assert done[0].returncode == 1 and "run this again" in done[0].stderr
        assert not (tmp_path / "state" / "precompute.order").exists()
