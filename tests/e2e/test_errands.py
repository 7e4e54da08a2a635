"""The judge, the refresh of doubted entries and answering ahead over a semantic cache.

A real gateway, the real embedder, a provider that says what it is told; and every dollar the provider counts
is in the ledger."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.e2e.gateway import ROOT, Running, running, until
from tests.e2e.test_precompute import precompute
from tests.faults.provider import FaultProvider

from farthing.types import Receipt

for package in ("numpy", "onnxruntime", "tokenizers", "numkong"):
    pytest.importorskip(package)

CONFIG = """
[providers.faults]
base_url = "{url}"

[tiers.cheap]
targets = ["faults/small"]

[endpoints.faq]
tier = "cheap"
cache.exact = "off"

[endpoints.faq.cache.semantic]
mode = "on"
threshold = 0.5
audit_share = {audit_share}
judge = "faults/judge"
stale = "check"
{terms}

[[prices]]
target = "faults/small"
input = 10
output = 20

[[prices]]
target = "faults/judge"
input = 1
output = 2

[brain]
timeout_s = 5

[jobs]
per_minute = 6000
{errands}
"""
ASKED = "How do I change the PIN of my card?"
ANSWER = "Open the app, choose the card, then Change PIN."
REWORDED = "In the app you pick your card and tap on Change PIN."
AUDITED = "1.0"
SERVED = "0.0001"

Judge = Callable[[str, str], str]
"""The words for yes and no -> what the judge replies."""


class Upstream:
    """Says `answer` to clients and what `judge` says to the gateway's comparisons."""

    def __init__(self) -> None:
        self.answer = ANSWER
        self.judge: Judge = lambda same, different: same
        self.prompts: list[str] = []

    def on_call(self, call: Any) -> str:
        if call.model != "judge":
            return f"say={quote(self.answer)}"
        self.prompts.append(json.dumps(call.json["messages"]))
        same = re.search(r"SAME-\w+", self.prompts[-1])
        different = re.search(r"DIFFERENT-\w+", self.prompts[-1])
        assert same and different
        return f"say={quote(self.judge(same[0], different[0]))}"


@contextmanager
def serving(
    folder: Path, audit_share: str = AUDITED, *, terms: str = "", errands: str = ""
) -> Iterator[tuple[Running, Upstream, FaultProvider]]:
    upstream = Upstream()
    with FaultProvider(on_call=upstream.on_call) as provider:
        config = CONFIG.format(url=provider.base_url, audit_share=audit_share, terms=terms, errands=errands)
        (folder / "farthing.toml").write_text(config)
        with running(config, folder) as gateway:
            until(lambda: gateway.metric("farthing_semantic_ready"))
            yield gateway, upstream, provider
            until(lambda: not gateway.metric("farthing_jobs_running"))
            spent_nusd = sum(row.cost_nusd or 0 for row in gateway.receipts())
            assert spent_nusd == cost_nusd(provider)


def cost_nusd(provider: FaultProvider) -> int:
    """What the provider's own count comes to."""
    price = {"small": (10_000, 20_000), "judge": (1_000, 2_000)}
    return sum(
        call.prompt_tokens * price[call.model][0] + call.completion_tokens * price[call.model][1]
        for call in provider.calls
    )


def ask(gateway: Running, question: str = ASKED) -> Receipt:
    return gateway.receipt_of(gateway.chat(question, model="farthing/faq"))


def judged(gateway: Running) -> Receipt:
    found = until(lambda: [row for row in gateway.receipts() if row.purpose == "judge"])
    return found[-1]


def entries(gateway: Running) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{gateway.state / 'semantic.db'}?mode=ro", uri=True) as db:
        return list(db.execute("SELECT trust, agreed, wrong, hits, expires_s FROM entries ORDER BY id"))


# -- the judge ----------------------------------------------------------------------------------------


def test_a_judge_that_sees_no_difference_confirms_the_entry(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream, _provider):
        ask(gateway)
        until(lambda: entries(gateway))
        upstream.answer = REWORDED
        receipt = ask(gateway)
        assert (receipt.audit, receipt.cache, receipt.cache_would_hit) == ("pending", "miss", True)
        verdict = judged(gateway)
        assert (verdict.audit, verdict.about) == ("agrees", receipt.request_id)
        assert (verdict.target, verdict.endpoint) == ("faults/judge", "faq")
        assert verdict.cache_entry == receipt.cache_entry
        assert (verdict.cost_nusd or 0) > 0
        (prompt,) = upstream.prompts
        assert ANSWER in prompt and REWORDED in prompt


def test_a_judge_that_sees_a_difference_makes_the_entry_doubted(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream, _):
        upstream.judge = lambda same, different: different
        ask(gateway)
        until(lambda: entries(gateway))
        upstream.answer = "You cannot change it."
        ask(gateway)
        assert judged(gateway).audit == "differs"


@pytest.mark.parametrize(
    "reply", ["SAME", "Yes, both say the same.", "{same} {different}", "", "SAME-00000000"]
)
def test_a_judge_that_says_anything_else_has_said_nothing(tmp_path: Path, reply: str) -> None:
    with serving(tmp_path) as (gateway, upstream, _):
        upstream.judge = lambda same, different: reply.format(same=same, different=different)
        ask(gateway)
        until(lambda: entries(gateway))
        upstream.answer = REWORDED
        ask(gateway)
        verdict = judged(gateway)
        assert verdict.audit == "" and verdict.error == "no_verdict"


def test_words_alone_decide_where_they_are_the_same(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream, _):
        ask(gateway)
        until(lambda: entries(gateway))
        assert ask(gateway).audit == "agrees"
        assert not upstream.prompts


def test_a_judge_that_is_down_is_told_in_its_receipt_and_no_client_hears_of_it(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream, provider):
        ask(gateway)
        until(lambda: entries(gateway))
        upstream.answer = REWORDED
        answer = provider.on_call
        assert answer is not None
        provider.on_call = lambda call: "U10" if call.model == "judge" else answer(call)
        assert ask(gateway).status == 200
        verdict = judged(gateway)
        assert (verdict.audit, verdict.status, verdict.error) == ("", 500, "no_provider_left")
        provider.on_call = answer


def test_comparing_stops_where_the_money_of_the_day_ends(tmp_path: Path) -> None:
    with serving(tmp_path, errands="usd_per_day = 0.000001") as (gateway, upstream, provider):
        ask(gateway)
        until(lambda: entries(gateway))
        upstream.answer = REWORDED
        ask(gateway)
        assert judged(gateway).calls == 0
        assert [call.model for call in provider.calls] == ["small", "small"]


# -- what the configuration says itself ---------------------------------------------------------------


def test_a_fixed_answer_is_not_replaced_by_what_was_said_to_a_similar_question(tmp_path: Path) -> None:
    fixed = '[[answers]]\nname = "opening"\ntext = "From nine."\nphrases = ["When do you open today?"]\n'
    with serving(tmp_path, SERVED, errands=fixed) as (gateway, _, _provider):
        ask(gateway, "When do you open to-day?")
        until(lambda: entries(gateway))
        assert ask(gateway, "When do you open today?").tier == "none"


# -- doubted entries ----------------------------------------------------------------------------------


def doubt(folder: Path) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-m",
            "farthing",
            "cache",
            "invalidate",
            "--endpoint",
            "faq",
            "--apply",
            "--config",
            str(folder / "farthing.toml"),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(folder),
    )
    assert told.returncode == 0, told.stderr


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "FARTHING__STATE_DIR": str(folder / "state"),
        "FARTHING__SERVER__PORT": "0",
    }


def test_a_doubted_entry_is_not_served_until_a_fresh_answer_agrees(tmp_path: Path) -> None:
    with serving(tmp_path, SERVED) as (gateway, _, provider):
        ask(gateway)
        until(lambda: entries(gateway))
        assert ask(gateway).cache == "semantic"
        doubt(tmp_path)
        assert ask(gateway).cache == "miss"
        until(lambda: [row[0] for row in entries(gateway)] == ["fresh"])
        assert ask(gateway).cache == "semantic"
        assert len(provider.calls) == 2


# -- answering ahead ----------------------------------------------------------------------------------


def counted(gateway: Running) -> dict[str, int]:
    with sqlite3.connect(f"file:{gateway.state / 'semantic.db'}?mode=ro", uri=True) as db:
        return dict(db.execute("SELECT question, count FROM asked"))


def test_what_was_asked_often_and_has_no_answer_is_answered_ahead(tmp_path: Path) -> None:
    """The provider fails while people ask; at night it works, and in the morning nobody waits."""
    with serving(tmp_path, SERVED) as (gateway, _, provider):
        ask(gateway, "Where is my nearest branch?")
        answer = provider.on_call
        provider.on_call = lambda call: "U10"
        for _ in range(4):
            gateway.chat(ASKED, model="farthing/faq")
        provider.on_call = answer
        until(lambda: counted(gateway).get(ASKED) == 4)
        calls = len(provider.calls)
        dry = json.loads(precompute(tmp_path, "--dry-run", "--json").stdout)["plan"]
        assert [one["candidate"]["question"] for one in dry["questions"]] == [ASKED]
        assert (
            dry["cost_nusd"] > 0 and dry["saving_low_nusd"] <= dry["saving_nusd"] <= dry["saving_high_nusd"]
        )
        assert len(provider.calls) == calls
        outcome = json.loads(precompute(tmp_path, "--json").stdout)
        assert (outcome["answered"], len(provider.calls) - calls) == (1, 1)
        until(lambda: len(entries(gateway)) == 2)
        assert ask(gateway).cache == "semantic"
        again = json.loads(precompute(tmp_path, "--dry-run", "--json").stdout)["plan"]
        assert again["questions"] == []


def test_a_useful_entry_that_goes_soon_gets_a_fresh_answer_and_keeps_its_hits(tmp_path: Path) -> None:
    with serving(tmp_path, SERVED, terms="ttl_s = 43200") as (gateway, _upstream, provider):
        ask(gateway)
        until(lambda: entries(gateway))
        for _ in range(5):
            assert ask(gateway).cache == "semantic"
        until(lambda: counted(gateway).get(ASKED) == 6)
        (before,) = entries(gateway)
        outcome = json.loads(precompute(tmp_path, "--json").stdout)
        assert (outcome["planned"], outcome["answered"], len(provider.calls)) == (1, 1, 2)
        (after,) = until(lambda: [row for row in entries(gateway) if row[4] > before[4]])
        assert after[0] == "fresh"
        assert ask(gateway).cache == "semantic"
        rows = [row for row in gateway.receipts() if row.purpose == "precompute"]
        assert [row.cache for row in rows] == ["miss"]


def test_the_command_answers_ahead_while_no_gateway_runs_and_the_next_one_serves_it(tmp_path: Path) -> None:
    upstream = Upstream()
    with FaultProvider(on_call=upstream.on_call) as provider:
        config = CONFIG.format(url=provider.base_url, audit_share=SERVED, terms="", errands="")
        with running(config, tmp_path) as gateway:
            until(lambda: gateway.metric("farthing_semantic_ready"))
            ask(gateway, "Where is my nearest branch?")
            provider.on_call = lambda call: "U10"
            for _ in range(4):
                gateway.chat(ASKED, model="farthing/faq")
        provider.on_call = upstream.on_call
        outcome = json.loads(precompute(tmp_path, "--json").stdout)
        assert (outcome["answered"], outcome["by"]) == (1, "this command")
        with running(config, tmp_path) as gateway:
            until(lambda: gateway.metric("farthing_semantic_ready"))
            assert ask(gateway).cache == "semantic"
            assert sum(row.cost_nusd or 0 for row in gateway.receipts()) == cost_nusd(provider)


# -- confirmation -------------------------------------------------------------------------------------


@contextmanager
def confirming(folder: Path, says: str) -> Iterator[tuple[Running, FaultProvider]]:
    """A gateway that wants to be sure, and whose judge confirms or not."""

    def on_call(call: Any) -> str:
        if call.model != "judge":
            return f"say={quote(ANSWER)}"
        yes = re.search(r"YES-\w+", json.dumps(call.json["messages"]))
        assert yes is not None
        return f"say={quote(says.format(yes=yes[0], no=yes[0].replace('YES', 'NO')))}" if says else "hang"

    with FaultProvider(on_call=on_call) as provider:
        config = CONFIG.format(
            url=provider.base_url, audit_share=SERVED, terms='confirm = "faults/judge"', errands=""
        )
        with running(config.replace("threshold = 0.5", "threshold = 0.99"), folder) as gateway:
            until(lambda: gateway.metric("farthing_semantic_ready"))
            yield gateway, provider


NEARLY = "Where can I change my PIN?"  # the shipped verifier gives it three chances in four


def test_where_the_verifier_cannot_tell_a_model_that_says_yes_lets_the_answer_out(tmp_path: Path) -> None:
    with confirming(tmp_path, "{yes}") as (gateway, provider):
        ask(gateway)
        until(lambda: entries(gateway))
        receipt = ask(gateway, NEARLY)
        assert (receipt.cache, receipt.calls, receipt.cache_probability) == ("semantic", 0, None)
        asked = judged(gateway)
        assert (asked.about, asked.target, asked.audit) == (receipt.request_id, "faults/judge", "")
        assert [call.model for call in provider.calls] == ["small", "judge"]


@pytest.mark.parametrize("says", ["{no}", "YES", "I would say {yes}", ""])
def test_whatever_else_it_says_or_does_is_a_miss(tmp_path: Path, says: str) -> None:
    with confirming(tmp_path, says) as (gateway, provider):
        ask(gateway)
        until(lambda: entries(gateway))
        receipt = ask(gateway, NEARLY)
        assert (receipt.status, receipt.cache, receipt.calls) == (200, "miss", 1)
        assert [call.model for call in provider.calls] == ["small", "judge", "small"]


def test_what_errands_cost_today_is_known_after_a_kill(tmp_path: Path) -> None:
    upstream = Upstream()
    with FaultProvider(on_call=upstream.on_call) as provider:
        config = CONFIG.format(url=provider.base_url, audit_share=AUDITED, terms="", errands="")
        with running(config, tmp_path) as gateway:
            until(lambda: gateway.metric("farthing_semantic_ready"))
            ask(gateway)
            until(lambda: entries(gateway))
            upstream.answer = REWORDED
            ask(gateway)
            paid_nusd = judged(gateway).cost_nusd
            assert paid_nusd
            assert gateway.metric("farthing_jobs_spent_today_usd") == pytest.approx(paid_nusd / 1e9)
            gateway.process.kill()
            gateway.process.wait()
        with running(config, tmp_path) as gateway:
            assert gateway.metric("farthing_jobs_spent_today_usd") == pytest.approx(paid_nusd / 1e9)
