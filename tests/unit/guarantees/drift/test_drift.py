"""Drift: told where the traffic changed, and nearly never where it did not."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from farthing.cli.main import cli
from farthing.config import LedgerConfig
from farthing.errors import ConfigError
from farthing.guarantees.drift import references as drift_file
from farthing.guarantees.drift.detect import (
    BLOCK,
    OTHER,
    WHAT_TO_DO,
    DriftMonitor,
    Gathering,
    Reference,
    Shape,
    compare,
    name_of,
)
from farthing.ledger.segments import SegmentLedger
from farthing.stats.exact_tests import chi_square_over
from farthing.types import Attempt, Receipt, Signal, Usage


def receipts(
    count: int,
    seed: int,
    *,
    german: float = 0.02,
    slower: float = 1.0,
    tokens: float = 1.0,
    tasks: tuple[str, ...] = ("qa", "qa", "faq", "code"),
    session: str | None = None,
    at_unix_s: float = 1e9,
) -> Iterator[Receipt]:
    rng = random.Random(seed)
    for number in range(count):
        receipt = Receipt(
            request_id=f"r{seed}-{number}",
            at_unix_s=at_unix_s + number,
            started_s=0.0,
            endpoint="faq",
            session=session,
            status=200,
            task_type=rng.choice(tasks),
            language="de" if rng.random() < german else "en",
            complexity=rng.random(),
            usage=Usage(input_tokens=int(rng.lognormvariate(5, 1) * tokens)),
        )
        ttft_ms = rng.lognormvariate(5, 0.5) * slower
        receipt.attempts = [Attempt(target="p/a", tier="cheap", started_ms=0.0, ttft_ms=ttft_ms)]
        yield receipt


def reference_of(rows: Iterator[Receipt | Signal]) -> Reference:
    gathering = Gathering("faq")
    for row in rows:
        gathering.add(row)
    made = gathering.reference(2e9)
    assert made is not None
    return made


def alarms(then: Reference, rows: Iterator[Receipt]) -> list[str]:
    watch = DriftMonitor()
    watch.follow([then])
    return [one.feature for row in rows for one in watch.observe(row)]


def test_the_chi_square_tail_is_that_of_the_tables() -> None:
    for statistic, freedom, probability in ((3.841459, 1, 0.05), (16.918978, 9, 0.05), (27.877165, 9, 0.001)):
        assert chi_square_over(statistic, freedom) == pytest.approx(probability, rel=1e-5)
    assert chi_square_over(0.0, 3) == 1.0
    assert chi_square_over(5_000.0, 3) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_traffic_that_stays_as_it_was_raises_no_alarm_in_200_blocks() -> None:
    raised = 0
    for trial in range(20):
        then = reference_of(receipts(2_000, seed=trial))
        raised += len(alarms(then, receipts(10 * BLOCK, seed=1_000 + trial)))
    assert raised <= 1  # 0.2 are expected at the most


@pytest.mark.parametrize(
    ("changed", "feature"),
    [
        ({"german": 0.2}, "language"),
        ({"tokens": 2.5}, "length"),
        ({"tasks": ("code", "code", "qa", "faq")}, "task_mix"),
        ({"tasks": ("translate", "qa", "qa", "faq")}, "task_mix"),
    ],
)
def test_a_change_is_told_within_one_block_by_its_name(changed: dict[str, object], feature: str) -> None:
    then = reference_of(receipts(2_000, seed=1))
    told = alarms(then, receipts(BLOCK, seed=2, **changed))  # type: ignore[arg-type]
    assert told == [feature]
    assert WHAT_TO_DO[name_of(feature)]


def test_a_slower_provider_is_told_after_two_blocks_and_a_faster_one_never() -> None:
    then = reference_of(receipts(2_000, seed=1))
    assert alarms(then, receipts(BLOCK, seed=2, slower=1.6)) == []
    assert alarms(then, receipts(2 * BLOCK, seed=2, slower=1.6)) == ["latency:p/a"]
    assert alarms(then, receipts(4 * BLOCK, seed=2, slower=0.5)) == []


def test_a_change_of_no_weight_is_none_however_sure_it_is() -> None:
    then = Shape(counts={"en": 90_000, "de": 10_000})
    found = compare("language", then, {"en": 86_500, "de": 13_500})
    assert found.p_value < 1e-12
    assert found.psi < 0.1


def test_one_busy_session_is_one_request_of_a_block() -> None:
    then = reference_of(receipts(2_000, seed=1))
    assert alarms(then, receipts(4 * BLOCK, seed=2, german=1.0, session="loop")) == []


def test_a_session_counts_once_in_a_block_however_its_requests_are_spread() -> None:
    """Twenty sessions of one language return all the time, among many that come once."""
    gathering = Gathering("faq")
    for number, row in enumerate(receipts(20 * BLOCK, seed=1)):
        if number % 10:
            row.session, row.language = f"loop{number % 20}", "xx"
        gathering.add(row)
    made = gathering.reference(2e9)
    assert made is not None
    assert made.n == 2 * BLOCK + made.shapes["language"].counts["xx"]
    assert made.shapes["language"].counts["xx"] <= 20 * (made.n // BLOCK + 1)


def test_what_was_always_the_same_alarms_when_it_is_not() -> None:
    def flat(count: int, complexity: float) -> Iterator[Receipt]:
        for row in receipts(count, seed=4):
            row.complexity = complexity
            yield row

    then = reference_of(flat(2_000, 1.0))
    assert alarms(then, flat(BLOCK, 1.0)) == []
    assert alarms(then, flat(BLOCK, 0.5)) == ["difficulty"]


@pytest.mark.parametrize(
    "damage",
    [
        {"counts": {}},
        {"counts": {"0": -1, "1": 3_000}},
        {"counts": {"first": 3_000}, "edges": [1.0, 2.0]},
        {"counts": {"0": 3_000}, "edges": [2.0, 1.0]},
    ],
)
def test_a_reference_with_counts_that_cannot_be_is_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    path = drift_file.save(tmp_path, reference_of(receipts(2_000, seed=1)))
    whole = json.loads(path.read_bytes())
    whole["shapes"]["length"] = {"edges": [], **damage}
    path.write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match="farthing drift --set"):
        drift_file.load(path)
    assert drift_file.References(tmp_path).changed() == []


def test_falling_quality_is_told_and_rising_quality_is_not() -> None:
    def graded(count: int, quality: float) -> Iterator[Signal]:
        rng = random.Random(3)
        for number in range(count):
            yield Signal(
                request_id=f"r{number}",
                at_unix_s=1e9,
                source="judge",
                kind="rubric",
                endpoint="faq",
                quality=1.0 if rng.random() < quality else 0.25,
            )

    def rows() -> Iterator[Receipt | Signal]:
        yield from receipts(1_000, seed=1)
        yield from graded(400, 0.8)

    then = reference_of(rows())
    for quality, told in ((0.8, []), (0.4, ["quality"]), (1.0, [])):
        watch = DriftMonitor()
        watch.follow([then])
        assert [one.feature for signal in graded(60, quality) for one in watch.learn(signal)] == told


def test_a_label_never_seen_before_is_counted_with_the_others() -> None:
    shape = Shape(counts={"en": 100})
    assert shape.place("xx") == OTHER
    assert compare("language", shape, {OTHER: 100}).p_value < 1e-12


def test_errands_and_refused_requests_are_no_traffic() -> None:
    then = reference_of(receipts(2_000, seed=1))
    watch = DriftMonitor()
    watch.follow([then])
    for row in receipts(BLOCK, seed=2, german=1.0):
        row.purpose = "judge"
        assert watch.observe(row) == []
    for row in receipts(BLOCK, seed=2, german=1.0):
        row.status = 429
        assert watch.observe(row) == []


def test_a_new_reference_is_taken_up_and_a_damaged_one_left_out(tmp_path: Path) -> None:
    references = drift_file.References(tmp_path)
    assert references.changed() == []
    assert references.changed() is None
    made = reference_of(receipts(2_000, seed=1))
    path = drift_file.save(tmp_path, made)
    assert references.changed() == [made]
    path.write_text("{")
    assert references.changed() == []
    with pytest.raises(ConfigError, match="farthing drift --set"):
        drift_file.load(path)


def test_the_command_makes_a_reference_and_tells_what_changed(tmp_path: Path) -> None:
    ledger = SegmentLedger(tmp_path / "ledger", LedgerConfig())
    for row in receipts(1_500, seed=1, at_unix_s=1_000_000_000):
        ledger.record(row)
    for row in receipts(1_500, seed=2, german=0.3, at_unix_s=1_000_100_000):
        ledger.record(row)
    ledger.close()
    config = tmp_path / "farthing.toml"
    config.write_text(f'state_dir = "{tmp_path}"\n')
    run = CliRunner().invoke
    drift = ["drift", "--endpoint", "faq", "--config", str(config)]
    without = run(cli, drift)
    assert "--set" in str(without.exception)
    few = run(cli, [*drift, "--since", "2033-01-01", "--set"])
    assert "has 0 requests" in str(few.exception) and "takes 1,000" in str(few.exception)
    whole = run(cli, [*drift, "--since", "all", "--set", "--json"], standalone_mode=False)
    assert json.loads(whole.stdout)["reference"]["n"] == 3_000
    later = run(cli, [*drift, "--since", "2001-09-10T05:00", "--json"], standalone_mode=False)
    assert later.return_value == 1
    assert json.loads(later.stdout)["drifted"] == ["language"]
    said = run(cli, [*drift, "--since", "2001-09-10T05:00"], standalone_mode=False)
    assert "DRIFT language" in said.output
    assert "calibrate again" in said.output
