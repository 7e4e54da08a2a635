"""How soon the watch over false hits raises its alarm, and how seldom wrongly.

    python -m benchmarks.semantic_watch [--runs 200]        writes benchmarks/results/semantic_watch.json

The test alone, at delta 5 % and a budget of 1 %: outcomes are drawn at a rate, and the number of audits until
the alarm is told; also when 10,000 audits at a fifth of the budget came before.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from farthing.stats.e_process import alternatives, new_alarm

BUDGET = 0.01
DELTA = 0.05
TIMES = (2, 3, 5, 10)
AUDITS_MAX = 20_000
NULL_AUDITS = 5_000
GOOD_FIRST = 10_000


def alarm_after(rate: float, audits_max: int, chance: random.Random, good_first: int = 0) -> int | None:
    """Audits until the alarm; None: not within `audits_max`. One raised in the good time counts as none."""
    rates, alarm = alternatives(BUDGET), new_alarm(BUDGET)
    for _ in range(good_first):
        alarm.add(chance.random() < BUDGET / 5, BUDGET, rates)
    for number in range(audits_max):
        alarm.add(chance.random() < rate, BUDGET, rates)
        if alarm.value >= 1 / DELTA:
            return number + 1
    return None


def quantiles(found: list[int | None]) -> dict[str, Any]:
    took = sorted(AUDITS_MAX if one is None else one for one in found)
    return {
        "median": took[len(took) // 2],
        "p90": took[len(took) * 9 // 10],
        "never": sum(one is None for one in found) / len(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    false = [alarm_after(BUDGET, NULL_AUDITS, chance) for _ in range(given.runs)]
    told: dict[str, Any] = {
        "what": "audits until the alarm over false hits",
        "machine": machine(),
        "budget": BUDGET,
        "delta": DELTA,
        "runs": given.runs,
        "false_alarms": sum(one is not None for one in false) / given.runs,
        "false_alarms_within": NULL_AUDITS,
        "rates": {
            f"{BUDGET * times:g}": {
                "from_the_start": quantiles(
                    [alarm_after(BUDGET * times, AUDITS_MAX, chance) for _ in range(given.runs)]
                ),
                "after_10000_good": quantiles(
                    [
                        alarm_after(BUDGET * times, AUDITS_MAX, chance, GOOD_FIRST)
                        for _ in range(given.runs // 4)
                    ]
                ),
            }
            for times in TIMES
        },
    }
    target = Path(__file__).resolve().parent / "results" / "semantic_watch.json"
    target.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
