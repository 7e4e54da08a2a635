"""Failures of a provider, met by OpenAI's client for Python directly and through the gateway, side by side.

    python -m benchmarks.never_worse [--rounds 10] [--json]     writes benchmarks/results/never_worse.json

Needs the development environment (`make check` makes it). Each scenario of `tests/clients/scenarios.py`
is met `rounds` times, one after the other, by a client with its defaults: how many questions got their
answer directly, through the gateway with that target alone, and with a healthy second one; and what the
last of those that got none was told.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import openai
from tests.clients.lab import TRIES, Form, Met, Outcome, Way, lab, meet_all, worse
from tests.clients.scenarios import SCENARIOS, Scenario

from benchmarks.machine import machine

WAYS: tuple[Way, ...] = ("direct", "alone", "pair")


def told(outcome: Outcome) -> str:
    if outcome.silently_short:
        return "nothing: a part passes for the whole"
    if outcome.error is None:
        return ""
    return " ".join(str(each) for each in (outcome.error, outcome.status, outcome.code) if each is not None)


def measure(met: Met, scenario: Scenario, form: Form) -> dict[str, Any]:
    """One row: for each way the share of answers, and what the last client without one was told."""
    row: dict[str, Any] = {"scenario": scenario.name, "form": form}
    for way in TRIES[form]:
        outcomes = met[scenario, form, way]
        failed = [each for each in outcomes if not each.answered]
        row[way] = {"answered": len(outcomes) - len(failed), "told": told(failed[-1]) if failed else ""}
    if "direct" in TRIES[form]:
        pairs = zip(met[scenario, form, "direct"], met[scenario, form, "alone"], strict=True)
        row["worse"] = sum(bool(worse(direct, through)) for direct, through in pairs)
    return row


def printed(row: dict[str, Any], rounds: int) -> str:
    def cell(way: Way) -> str:
        if way not in row:
            return f"{'-':51}"
        answered, why = row[way]["answered"], row[way]["told"]
        return f"{f'{answered} of {rounds}  {why}':51}"

    return f"{row['scenario']:28} {row['form']:9} {cell('direct')} {cell('alone')} {cell('pair')}".rstrip()


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as `docs/clients.md` has them: answers directly / with one target / with two."""
    by = {(row["scenario"], row["form"]): row for row in rows}

    def cell(scenario: str, form: str) -> str:
        row = by[scenario, form]
        return " / ".join(str(row[way]["answered"]) if way in row else "-" for way in WAYS)

    lines = [f"| failure | {' | '.join(TRIES)} |", f"|---|{'---|' * len(TRIES)}"]
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        lines.append(f"| {scenario} | {' | '.join(cell(scenario, form) for form in TRIES)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON alone, and write nothing")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, lab(SCENARIOS, Path(folder)) as place:
        met = meet_all(place, SCENARIOS, given.rounds)
    rows = [measure(met, scenario, form) for scenario in SCENARIOS for form in TRIES]
    result: dict[str, Any] = {
        "what": "answers to a client that retries as it does by default, out of `rounds`",
        "machine": machine(),
        "openai": openai.__version__,
        "rounds": given.rounds,
        "rows": rows,
    }
    if given.json:
        print(json.dumps(result))
        return
    target = Path(__file__).resolve().parent / "results" / "never_worse.json"
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{'scenario':28} {'form':9} {'direct':51} {'one target':51} two targets")
    for row in rows:
        print(printed(row, given.rounds))
    told_worse = sum(row.get("worse", 0) for row in rows)
    print(f"\nserved worse than directly: {told_worse} of {2 * len(SCENARIOS) * given.rounds}")


if __name__ == "__main__":
    main()
