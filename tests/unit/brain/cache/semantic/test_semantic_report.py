"""The report on the semantic cache is net, says what it does not know, and alarms when it stops helping."""

import asyncio
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from farthing.brain.cache.semantic.store.entries_file import EntryStore
from farthing.cli.main import cli
from farthing.guarantees.monitor.file import WatchFile
from farthing.guarantees.monitor.semantic_cache import SequentialBound
from farthing.insight.explain import request
from farthing.insight.report.report import Report, build, render
from farthing.insight.report.semantic_cache import SemanticCell
from farthing.ledger.rows import Intent
from farthing.ledger.segments import SegmentLedger
from farthing.ledger.semantic_watch import ALARMS, ALPHA, BLOCK, Fallen, TooMany, Watch
from farthing.stats.exact_tests import interval
from farthing.types import Receipt, Semantics

DAY_S = 86_400.0


def asked(number: int, **changes: object) -> Receipt:
    """A request whose look found nothing, and that a model answered for 1,000 nano-dollars in 500 ms."""
    fields: dict[str, object] = {
        "at_unix_s": float(number),
        "endpoint": "faq",
        "tier": "cheap",
        "cache": "miss",
        "stage_ms": {"semantic": 2.0},
        "status": 200,
        "calls": 1,
        "total_ms": 500.0,
        "cost_nusd": 1_000,
        "baseline_nusd": 4_000,
        "baseline_target": "x/big",
        **changes,
    }
    return Receipt(request_id=f"r{number}", started_s=0.0, **fields)  # type: ignore[arg-type]


def hit(number: int, **changes: object) -> Receipt:
    fields: dict[str, object] = {
        "cache": "semantic",
        "tier": "cache",
        "calls": 0,
        "cost_nusd": 0,
        "total_ms": 4.0,
        "cache_entry": f"e{number % 5}",
        "cache_probability": 0.97,
        **changes,
    }
    return asked(number, **fields)


def audited(number: int, audit: str, **changes: object) -> Receipt:
    fields: dict[str, object] = {"cache_would_hit": True, "cache_entry": "e", "cache_probability": 0.9}
    return asked(number, audit=audit, **{**fields, **changes})


OTHERS = ("explore", "judge", "route")


def errand(number: int, purpose: str = "judge", about: str = "", audit: str = "", **changes: Any) -> Receipt:
    fields: dict[str, Any] = {
        "endpoint": "faq",
        "tier": "cheap",
        "target": "x/judge",
        "status": 200,
        "calls": 1,
    }
    fields |= {"cost_nusd": 70, "purpose": purpose, "about": about, "audit": audit}
    fields |= {"cache_entry": "e1", **changes}
    return Receipt(request_id=f"j{number}", at_unix_s=float(number), started_s=0.0, **fields)


def report_of(rows: list[Receipt]) -> Report:
    return build(list[Intent | Receipt](rows), since=None, until=2e9)


def cell_of(rows: list[Receipt]) -> SemanticCell:
    (cell,) = report_of(rows).semantic
    return cell


def shown(rows: list[Receipt]) -> str:
    out = io.StringIO()
    render(report_of(rows), Console(file=out, width=120, highlight=False))
    return out.getvalue()


# -- errands ----------------------------------------------------------------------------------------


def test_errands_are_no_requests_and_their_cost_is_taken_off_the_saving() -> None:
    rows = [asked(0), asked(1), hit(2)]
    plain = report_of(rows)
    report = report_of([*rows, errand(3), errand(4, "precompute"), errand(5, "refresh", cost_nusd=None)])
    assert report.requests == plain.requests == 3
    assert report.cells == plain.cells and report.total == plain.total
    assert report.savings.saved_nusd == plain.savings.saved_nusd - 140
    assert report.savings.cost_nusd == plain.savings.cost_nusd + 140
    assert report.savings.saved_nusd == report.savings.baseline_nusd - report.savings.cost_nusd
    parts = report.savings.parts
    assert parts.jobs_nusd == -140
    assert sum(msgspec.structs.astuple(parts)) == report.savings.saved_nusd
    assert (report.savings.jobs, report.savings.jobs_unpriced) == (3, 1)
    assert report.savings.per[0].saved_nusd < plain.savings.per[0].saved_nusd
    text = shown([*rows, errand(3), errand(5, "refresh", cost_nusd=None)])
    assert "- background jobs $0.00000007" in text and "cost unknown: 1 background job;" in text


def test_without_errands_and_looks_the_report_says_nothing_of_either() -> None:
    text = shown([asked(number, stage_ms={}) for number in range(3)])
    assert "jobs" not in text and "Semantic" not in text


# -- what it was worth ------------------------------------------------------------------------------


def test_money_is_net_of_embedding_and_errands() -> None:
    rows = [asked(number, cost_nusd=1_010, embedding_nusd=10) for number in range(10)]
    rows += [hit(100 + number, cost_nusd=10, embedding_nusd=10) for number in range(20)]
    rows += [errand(200), errand(201, "precompute", cost_nusd=500), errand(202, cost_nusd=None)]
    cell = cell_of(rows)
    assert cell.avoided_nusd == 20 * 1_000 - 20 * 10
    assert cell.embedding_nusd == 300 and cell.jobs_nusd == {"judge": 70, "precompute": 500}
    assert cell.net_nusd == 19_800 - 10 * 10 - 570
    assert cell.saved_nusd == 20 * (4_000 - 10)
    assert (cell.entries, cell.value_per_entry_nusd, cell.unpriced) == (5, 19_800 // 5, 1)


def test_what_exploring_grading_and_routing_cost_is_not_the_caches() -> None:
    others = [errand(3 + place, purpose, cache_entry="") for place, purpose in enumerate(OTHERS)]
    rows = [asked(1), errand(2), *others]
    assert cell_of(rows).jobs_nusd == {"judge": 70}
    assert report_of(rows).savings.parts.jobs_nusd == -4 * 70
    assert not report_of([errand(9, "explore", cache_entry="")]).semantic


def test_time_is_net_of_the_looks_that_served_nothing() -> None:
    cell = cell_of([*[asked(number) for number in range(10)], *[hit(20 + number) for number in range(3)]])
    assert (cell.fresh_ms, cell.hit_ms, cell.look_ms) == (500.0, 4.0, 2.0)
    assert cell.net_saved_ms == 3 * (500 - 2 - 4) - 10 * 2


def test_in_observe_nothing_is_saved_and_the_looks_cost() -> None:
    cell = cell_of([audited(0, "agrees", embedding_nusd=7), asked(1)])
    assert cell.avoided_nusd == 0 and cell.net_nusd == -7 and cell.net_saved_ms == -4.0
    assert (cell.hit_rate, cell.would_hit_rate) == (0.0, 0.5)


def test_what_is_unknown_is_none_and_called_unknown() -> None:
    rows = [hit(0, cost_nusd=None), hit(1, baseline_nusd=None)]
    cell = cell_of(rows)
    assert cell.saved_nusd is None and cell.avoided_nusd is None and cell.net_nusd is None
    assert cell.net_saved_ms is None and cell.unpriced == 2 and cell.audited.rate is None
    text = shown(rows)
    assert "net unknown" in text and "false hits: unknown, no hit was audited" in text
    assert "fresh answer unknown" in text


# -- false hits -------------------------------------------------------------------------------------


def test_the_false_hit_rate_joins_the_judges_verdicts_and_has_its_exact_interval() -> None:
    rows = [audited(number, "agrees") for number in range(90)]
    rows += [audited(100 + number, "differs") for number in range(2)]
    rows += [audited(200 + number, "pending") for number in range(10)]
    rows += [errand(300 + number, about=f"r{200 + number}", audit="agrees") for number in range(7)]
    rows += [errand(310, about="r207", audit="differs"), errand(311, about="r208", audit="")]
    found = cell_of(rows).audited
    assert (found.n, found.wrong, found.open) == (100, 3, 2)
    assert (found.low, found.high) == interval(3, 100) and found.rate == 0.03
    assert found.judged_by == ["words", "x/judge"] and "Clopper-Pearson" in found.method
    assert found.upper_with_open is not None and found.high is not None
    text = shown(rows)
    assert "false hits 3.00% (95 %: 0.62% to 8.52%, Clopper-Pearson, 95 %): 3 of 100 audited" in text
    assert "2 not judged yet" in text


def test_a_verdict_counts_once_and_on_the_day_of_its_request() -> None:
    rows = [audited(10, "pending"), asked(int(DAY_S) + 5)]
    late = int(DAY_S) + 60
    rows += [errand(late + n, about="r10", audit="differs") for n in range(2)]
    cell = cell_of(rows)
    assert [(day.day, day.audited, day.wrong) for day in cell.days] == [
        ("1970-01-01", 1, 1),
        ("1970-01-02", 0, 0),
    ]
    assert cell.days[1].spent_nusd == 140 and cell.days[0].spent_nusd == 0


def test_an_answer_compared_though_it_would_not_have_been_served_is_no_false_hit() -> None:
    cell = cell_of([audited(0, "differs", cache_would_hit=False), asked(1)])
    assert cell.audited.n == 0 and cell.results == {"none": 1, "rejected": 1}


def test_looks_are_told_by_what_came_of_them_and_over_days() -> None:
    rows = [asked(0), hit(1), audited(2, "agrees"), audited(3, ""), asked(4, skipped={"semantic": "E"})]
    rows += [asked(5, cache_entry="e"), asked(6, cache="exact", stage_ms={}), asked(7, stage_ms={})]
    cell = cell_of(rows)
    assert cell.results == dict.fromkeys(
        ("audited", "failed", "none", "rejected", "served", "would_serve"), 1
    )
    assert cell.requests == 8 and cell.looks == 6 and cell.reach == 6 / 7
    many = [hit(int(day * DAY_S) + n) for day in range(20) for n in range(day + 1)]
    text = shown(many + [asked(int(day * DAY_S) + 500) for day in range(20)])
    assert "1970-01-07 to 1970-01-20, each day" in text and "█" in text


# -- alarms -----------------------------------------------------------------------------------------


def names(rows: list[Receipt]) -> list[str]:
    return [alarm.name for alarm in cell_of(rows).alarms]


def traffic(count: int, share: float, chance: random.Random, start: int = 0) -> list[Receipt]:
    return [
        hit(start + number) if chance.random() < share else asked(start + number) for number in range(count)
    ]


def test_steady_traffic_raises_no_alarm() -> None:
    assert names(traffic(4_000, 0.3, random.Random(1))) == []


def test_hits_that_become_few_are_an_alarm_and_it_says_what_to_look_at() -> None:
    chance = random.Random(2)
    rows = traffic(2_000, 0.3, chance) + traffic(400, 0.05, chance, 5_000)
    assert names(rows) == ["coverage", "effect"]
    text = shown(rows)
    assert (
        "alarm effect" in text
        and ALARMS["effect"] in " ".join(text.split())
        and re.search(r"before (2|3)\d\.\d%", text)
    )


def test_proposals_that_the_verifier_refuses_are_effect_and_not_coverage() -> None:
    chance = random.Random(3)
    rows = traffic(2_000, 0.3, chance)
    rows += [asked(5_000 + n, cache_entry="e" if n % 3 == 0 else "") for n in range(400)]
    assert names(rows) == ["effect"]


def test_looks_that_fail_in_silence_are_an_alarm() -> None:
    chance = random.Random(4)
    rows = traffic(1_000, 0.3, chance)
    rows += [
        asked(5_000 + number, skipped={"semantic": "TimeoutError"} if chance.random() < 0.2 else {})
        if chance.random() < 0.7
        else hit(5_000 + number)
        for number in range(400)
    ]
    assert names(rows) == ["failing"]


def test_requests_that_no_longer_reach_the_cache_are_an_alarm() -> None:
    rows = traffic(2_000, 0.3, random.Random(5))
    rows += [asked(5_000 + number, stage_ms={}) for number in range(400)]
    assert names(rows) == ["reach"]
    rows = traffic(2_000, 0.3, random.Random(5))
    rows += [asked(5_000 + number, cache="exact", stage_ms={}) for number in range(400)]
    assert names(rows) == []  # an exact hit is no loss


def test_a_cache_that_costs_more_than_it_saves_is_an_alarm() -> None:
    rows = traffic(600, 0.1, random.Random(6))
    assert names(rows) == []
    assert names([*rows, errand(9_000, cost_nusd=10_000_000)]) == ["loss"]


def test_false_alarms_of_the_watch_are_as_rare_as_promised() -> None:
    chance, alarms, blocks = random.Random(7), 0, 4_000
    fallen = Fallen()
    for _ in range(blocks):
        for _ in range(BLOCK):
            fallen.add(chance.random() < 0.04)
        alarms += fallen.active
    assert alarms <= blocks * ALPHA + 6


def test_a_new_state_is_taken_as_normal_after_a_while_and_an_alarm_ends_when_it_is_over() -> None:
    chance, fallen = random.Random(8), Fallen()

    def blocks(count: int, share: float) -> list[bool]:
        states = []
        for _ in range(count):
            for _ in range(BLOCK):
                fallen.add(chance.random() < share)
            states.append(fallen.active)
        return states

    assert not any(blocks(10, 0.4))
    assert all(blocks(5, 0.1))
    assert not any(blocks(5, 0.4))
    assert all(blocks(20, 0.1)) and not any(blocks(5, 0.1))


def test_a_few_failures_are_no_alarm() -> None:
    chance, many = random.Random(9), TooMany()
    for _ in range(20):
        for _ in range(BLOCK):
            many.add(chance.random() < 0.04)
        assert not many.active


def test_a_failed_look_says_nothing_of_what_it_would_have_found() -> None:
    watch = Watch()
    for _ in range(10 * BLOCK):
        watch.add("served")
    for _ in range(2 * BLOCK):
        watch.add("failed")
    assert watch.alarms() == {"coverage": False, "effect": False, "failing": True}


# -- the commands -----------------------------------------------------------------------------------


def test_the_report_of_a_ledger_on_disk_has_the_section_in_both_forms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = SegmentLedger(tmp_path)
    for receipt in [*(asked(n) for n in range(5)), *(hit(10 + n) for n in range(5))]:
        book.record(receipt)
    book.record(audited(20, "pending"))
    book.record(errand(21, about="r20", audit="differs"))
    book.close()
    where = ["--ledger", str(tmp_path), "--since", "all"]
    assert cli.main(["report", *where], standalone_mode=False) == 0
    text = capsys.readouterr().out
    assert "11 requests" in text and "Semantic cache of faq" in text and "1 of 1 audited" in text
    assert cli.main(["report", *where, "--json"], standalone_mode=False) == 0
    (cell,) = json.loads(capsys.readouterr().out)["semantic"]
    assert cell["results"] == {"audited": 1, "none": 5, "served": 5}
    assert cell["audited"]["wrong"] == 1 and cell["jobs_nusd"] == {"judge": 70}


def test_the_report_tells_the_certificate_and_a_retreat_where_it_knows_the_state_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = SegmentLedger(tmp_path / "ledger")
    book.record(audited(1, "agrees"))
    book.record(audited(2, "differs"))
    book.close()
    bound = SequentialBound(clock=lambda: 3 * DAY_S)
    bound.configure({"faq": Semantics(mode="on", threshold=0.9)})
    while bound.allows("faq", b"p"):
        bound.note("faq", b"p", True)
    WatchFile(bound, tmp_path / "semantic-bound.json").save()
    (tmp_path / "farthing.toml").write_text(f'state_dir = "{tmp_path}"\n')
    where = ["--config", str(tmp_path / "farthing.toml"), "--since", "all"]
    assert cli.main(["report", *where], standalone_mode=False) == 0
    text = capsys.readouterr().out
    assert (
        "TRIPPED, only exact hits are served, since 1970-01-04" in text and "audited hits were wrong" in text
    )
    assert "1 of 1 false hits have other words and were read by no judge" in text and "name a target" in text
    assert cli.main(["report", *where, "--json"], standalone_mode=False) == 0
    (cell,) = json.loads(capsys.readouterr().out)["semantic"]
    assert cell["audited"]["reworded"] == 1
    assert cell["standing"]["bound"]["retreated"] is True and cell["standing"]["certificate"] is None
    (tmp_path / "semantic-bound.json").write_text("{")
    assert cli.main(["report", *where], standalone_mode=False) == 0
    assert "TRIPPED" not in capsys.readouterr().out
    assert cli.main(["report", "--ledger", str(tmp_path / "ledger")], standalone_mode=False) == 0


def test_what_the_cache_holds_is_shown_with_the_endpoints_that_retreated_and_what_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bound = SequentialBound(clock=lambda: 3 * DAY_S)
    bound.configure({name: Semantics(mode="on", threshold=0.9) for name in ("faq", "judged", "well")})
    for name in ("faq", "judged"):
        while bound.allows(name, b"p"):
            bound.note(name, b"p", True)
    WatchFile(bound, tmp_path / "semantic-bound.json").save()
    asyncio.run(EntryStore(tmp_path / "semantic.db", entries_max=10, bytes_max=10_000).aclose())
    (tmp_path / "farthing.toml").write_text(
        f'state_dir = "{tmp_path}"\n[providers.a]\nbase_url = "http://127.0.0.1:9/v1"\n'
        '[endpoints.faq.cache.semantic]\nmode = "on"\n'
        '[endpoints.judged.cache.semantic]\nmode = "on"\njudge = "a/small"\n'
    )
    show = ["cache", "show", "--config", str(tmp_path / "farthing.toml")]
    assert cli.main([*show, "--json"], standalone_mode=False) == 0
    one, other = json.loads(capsys.readouterr().out)["retreated"]
    assert one["endpoint"] == "faq" and "without a judge" in one["advice"]
    assert other["endpoint"] == "judged" and other["advice"] == ""
    assert cli.main(show, standalone_mode=False) == 0
    text = capsys.readouterr().out
    assert "faq: TRIPPED, only exact hits are served: " in text and text.count("without a judge") == 1


def test_the_story_of_a_request_tells_the_semantic_part() -> None:
    def story(receipt: Receipt) -> str:
        return "\n".join(request.story(receipt))

    assert "similar  entry e1, right with probability 0.9700 according to the verifier: served" in story(
        hit(1)
    )
    assert "it would have been a false hit" in story(audited(1, "differs"))
    assert "a judge will compare them" in story(audited(1, "pending"))
    assert "not served, though it could have been" in story(audited(1, ""))
    assert "not served, the probability is too low" in story(asked(1, cache_entry="e"))
    assert "similar" not in story(asked(1))
    told = story(errand(1, about="r7", audit="differs"))
    assert "job      by the gateway itself, judge" in told and "r7" in told and "they differ" in told
    assert "$0.00000001 of it for embedding" in story(asked(1, embedding_nusd=10))
