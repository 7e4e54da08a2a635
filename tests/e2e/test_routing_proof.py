"""Routing with proof, from the first question to the saving, through the commands a user has.

Two upstreams replay whether Mixtral 8x7B and GPT-4 were right about real questions. A router is fitted to
some of them, others are answered by both tiers and checked, a certificate is made of what the ledger has, the
gateway takes it up, and the rest of the questions shows whether the promise holds.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.gateway import ROOT, Reply, Running, running, until
from tests.e2e.replay import Question, Replay, questions, replaying

from farthing.ledger import read
from farthing.stats import exact_tests
from farthing.types import Receipt, saved_nusd

FITTED, EXPLORED, LIVE = 800, 1_100, 700
LOSS, CONFIDENCE = 0.05, 0.9
FARTHING = [sys.executable, "-c", "from farthing.cli.main import main; main()"]

# Prices of one token in pico-dollars, as the configuration below has them in dollars for a million.
WEAK_PUSD, STRONG_PUSD = (500_000, 1_500_000), (10_000_000, 30_000_000)

CONFIG = """
[providers.r]
base_url = "{url}"
connect_s = 30.0
[tiers.cheap]
targets = ["r/weak"]
[tiers.expensive]
targets = ["r/strong"]
[[prices]]
target = "r/weak"
input = 0.5
output = 1.5
[[prices]]
target = "r/strong"
input = 10
output = 30
[brain]
timeout_s = 2.0
[cache]
exact = "off"
[route]
kind = "learned"
model = "{model}"
threshold = 1.0
[report]
baseline = "r/strong"
[jobs]
at_once = 8
per_minute = 100000
queue_max = 5000
busy_share = 1.0
usd_per_day = 100
[endpoints.exam.quality]
explore_share = {share}
[[endpoints.exam.quality.checks]]
kind = "exact"
file = "{expected}"
"""


class Bench:
    """One state directory, its files, and the commands run on it."""

    def __init__(self, folder: Path, replay: Replay, asked: list[Question]) -> None:
        self.folder = folder
        self.replay = replay
        self.model = folder / "router.npz"
        self.expected = folder / "expected.jsonl"
        rows = [json.dumps({"question": one.text, "expected": one.right}) for one in asked]
        self.expected.write_text("\n".join(rows) + "\n")

    def config(self, share: float) -> str:
        return CONFIG.format(url=self.replay.base_url, model=self.model, expected=self.expected, share=share)

    def farthing(self, *args: str) -> tuple[int, str]:
        """Run a command of the product on this state; its status and what it printed."""
        env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        env["FARTHING__STATE_DIR"] = str(self.folder / "state")
        done = subprocess.run(
            [*FARTHING, *args], capture_output=True, text=True, env=env, timeout=120, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def fit(self, asked: list[Question]) -> None:
        """Fit a router to these, scored."""
        data = self.folder / "scored.jsonl"
        rows = [{"prompt": one.text, "cheap": int(one.weak), "expensive": int(one.strong)} for one in asked]
        data.write_text("\n".join(map(json.dumps, rows)))
        columns = ["--models", "cheap,expensive", "--no-embedding"]
        status, said = self.farthing(
            "train", "route", "--data", str(data), *columns, "--out", str(self.model)
        )
        assert status == 0, said

    def saved_nusd(self) -> int:
        """What the report says was saved in all."""
        config = str(self.folder / "farthing.toml")
        _, said = self.farthing("report", "--since", "all", "--config", config, "--json")
        found: int = json.loads(said.partition("\n")[0])["savings"]["saved_nusd"]
        return found


def ask(gateway: Running, asked: list[Question]) -> list[Reply]:
    """Every question once, some at a time; all of them are answered."""

    def one(question: Question) -> Reply:
        return gateway.chat(question.text, model="farthing/exam")

    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(one, asked))
    assert {reply.status for reply in replies} == {200}
    return replies


def text_of(reply: Reply) -> str:
    said: str = reply.json["choices"][0]["message"]["content"]
    return said


def true_loss(asked: list[Question], replies: list[Reply]) -> list[float]:
    """Of each question, what its answer lost against the strong model's: the replay knows."""
    return [
        max(0.0, float(one.strong) - float(text_of(reply) == one.right))
        for one, reply in zip(asked, replies, strict=True)
    ]


@pytest.fixture(scope="module")
def asked() -> list[Question]:
    found = questions()
    assert len(found) >= FITTED + EXPLORED + LIVE
    return found


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_certified_policy_keeps_its_promise_and_its_saving_is_the_ledgers(
    asked: list[Question], tmp_path: Path
) -> None:
    explored = asked[FITTED : FITTED + EXPLORED]
    live = asked[FITTED + EXPLORED :][:LIVE]
    with replaying(asked) as replay:
        bench = Bench(tmp_path, replay, asked)
        bench.fit(asked[:FITTED])
        explore(bench, explored)
        certify(bench)

        # Under it some go cheap, and the promise holds on questions that nobody has seen.
        before = len(read_receipts(bench))
        cost = cost_nusd(replay)
        with running(bench.config(share=0.0), tmp_path) as gateway:
            replies = ask(gateway, live)
        receipts = read_receipts(bench)[before:]
        cost = cost_nusd(replay) - cost
        assert all(row.route_policy == "exam@1" or "care" in row.route_reason for row in receipts)
        assert 0 < sum(row.tier == "cheap" for row in receipts) < LIVE
        lost = sum(true_loss(live, replies))
        assert exact_tests.at_least(int(lost), LIVE, LOSS) > 0.001, f"{lost} of {LIVE} lost"

        # The saving is what the upstream itself charged against what the strong model would have.
        assert sum(row.cost_nusd or 0 for row in receipts) == cost
        strong_only = sum(
            price_nusd(STRONG_PUSD, row.usage.input_tokens, row.usage.output_tokens)
            for row in receipts
            if row.usage is not None
        )
        assert sum(saved_nusd(row) or 0 for row in receipts) == strong_only - cost > 0
        errands_nusd = sum(row.cost_nusd or 0 for row in read_receipts(bench) if row.purpose)
        assert bench.saved_nusd() == strong_only - cost - errands_nusd

        # The weak model gets worse: audits see it, the endpoint retreats, and a restart does not forget.
        replay.broken = True
        with running(bench.config(share=0.5), tmp_path) as gateway:
            ask(gateway, live)
            until(
                lambda: "has tripped the monitor and goes to the expensive tier" in gateway.logged(),
                timeout_s=60,
            )
            assert tiers(gateway, live[:50]) == {"expensive"}
        with running(bench.config(share=0.0), tmp_path) as gateway:
            assert tiers(gateway, live[:50]) == {"expensive"}


def explore(bench: Bench, asked: list[Question]) -> None:
    """Nothing is promised yet: all is expensive, and both tiers answer what is explored."""
    with running(bench.config(share=1.0), bench.folder) as gateway:
        ask(gateway, asked)
        receipts = read_receipts(bench)
        drawn = sum(receipt.explored == "cheap" for receipt in receipts)
        until(lambda: gateway.metric("farthing_signals_total") >= 2 * drawn, timeout_s=60, every_s=0.5)
    assert drawn > 0.8 * len(asked)  # the others are about law, which a rule keeps expensive
    assert {receipt.target for receipt in receipts if not receipt.purpose} == {"r/strong"}
    assert bench.replay.calls["weak"] == drawn


def certify(bench: Bench) -> None:
    """The certificate is made of what the ledger has, or refused; this data has enough."""
    command = ["calibrate", "route", "--endpoint", "exam", "--config", str(bench.folder / "farthing.toml")]
    status, said = bench.farthing(*command, "--risk-max", "0.0001")
    assert status == 1, said
    assert "more samples" in said
    promise = ["--risk-max", str(LOSS), "--confidence", str(CONFIDENCE)]
    status, said = bench.farthing(*command, *promise, "--json", "--apply", "--share", "1")
    assert status == 0, said
    assert json.loads(said.partition("\n")[0])["certificate"]["cheap_share"] > 0.05


def read_receipts(bench: Bench) -> list[Receipt]:
    rows = read.read(bench.folder / "state" / "ledger")
    return [row for row in rows if isinstance(row, Receipt)]


def tiers(gateway: Running, asked: list[Question]) -> set[str]:
    """Where these questions go."""
    return {reply.headers["x-farthing-tier"] for reply in ask(gateway, asked)}


def price_nusd(pusd: tuple[int, int], input_tokens: int, output_tokens: int) -> int:
    return (input_tokens * pusd[0] + output_tokens * pusd[1]) // 1_000


def cost_nusd(replay: Replay) -> int:
    """What the upstream has charged so far, by its own count; every call is of whole nano-dollars."""
    return sum(
        price_nusd(pusd, replay.input_tokens[model], replay.output_tokens[model])
        for model, pusd in (("weak", WEAK_PUSD), ("strong", STRONG_PUSD))
    )
