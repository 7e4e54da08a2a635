"""What prompts are billed directly and through the gateway, by providers that cache them by their own rules.

    python -m benchmarks.prompt_caches [--recorded FOLDER] [--json]

`--json` writes benchmarks/results/prompt_caches.json.

The replay of `tests/sim/prompt_cache_replay.py`, on a clock of its own: agents that mark nothing and name no
key. `saved` is the share of the direct bill for prompts that the gateway saves; `at worst` is the most that
its bill was ever above the direct one meanwhile, in prompts of the largest size; `same` are the turns whose
beginning went up byte for byte as before, of those that go on from another. `--recorded` has sessions of
public data sets of agents (`*.jsonl.gz`, `messages` in each line). `us` is what marks cost on the way.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.sim import prompt_cache_replay as sim
from tests.sim.prompt_cache_replay import Claude, Gpt, Outcome, Turn, replay

from benchmarks.machine import machine

RESULTS = Path(__file__).parent / "results" / "prompt_caches.json"
RECORDED = (("tau_airline.jsonl.gz", 40), ("swe_bash.jsonl.gz", 8))
"""Files of `--recorded`, and how many sessions of each."""
Traffic = Callable[[], Iterator[Turn]]


def row(name: str, found: Outcome) -> dict[str, Any]:
    return {
        "scenario": name,
        "calls": found.calls,
        "marked": found.marked,
        "direct_usd": round(found.direct_nusd / 1e9, 4),
        "gateway_usd": round(found.gateway_nusd / 1e9, 4),
        "saved": round(found.saved, 4),
        "at_worst_prompts": round(found.worst_nusd / max(1, found.largest_nusd), 3),
        "same": found.same,
        "follows": found.follows,
    }


def cost_us(messages: int) -> dict[str, float]:
    """CPU of a call on the way up, in microseconds: nothing is marked, and marked."""
    clock = sim.Clock()
    claude, gateway = Claude(clock), sim.Gateway(sim.CLAUDE, clock)
    own = sim.Agents(1)
    turns = list(own.session("a", messages // 2, sim.fixed(10)))
    for turn in turns[-4:]:
        clock.now_s = 1_000.0 + turn.at_s
        gateway.through(turn, claude.bill)
    return {name: round(used, 1) for name, used in gateway.cost_us(turns[-1]).items()}


def all_rows(recorded: Path | None) -> list[dict[str, Any]]:
    rows = [row(f"claude: {name}", replay(made(), Claude)) for name, made in sim.scenarios().items()]
    made_twice = sim.scenarios()["one session"]()
    rows.append(row("claude, chat completions: one session", replay(made_twice, Claude, translated=True)))
    rows += [row(f"gpt: {name}", replay(made(), Gpt)) for name, made in sim.gpt_scenarios().items()]
    for file, count in RECORDED if recorded is not None else ():
        assert recorded is not None
        rows.append(row(f"claude: {file}", replay(sim.recorded(recorded / file, count), Claude)))
        turns = sim.recorded(recorded / file, count, claude=False)
        rows.append(row(f"gpt: {file}", replay(turns, Gpt)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recorded", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began_s = time.monotonic()
    rows = all_rows(options.recorded)
    used = {str(count): cost_us(count) for count in (10, 100, 400)}
    if options.json:
        took_s = round(time.monotonic() - began_s, 1)
        found = {"machine": machine(), "rows": rows, "us": used, "took_s": took_s}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    for one in rows:
        print(
            f"{one['scenario']:48} {one['calls']:4} calls, {one['marked']:4} marked:"
            f" {one['direct_usd']:8.4f} -> {one['gateway_usd']:8.4f} USD, saved {one['saved']:6.1%},"
            f" at worst {one['at_worst_prompts']:.2f} prompts, same {one['same']}/{one['follows']}"
        )
    print(json.dumps(used))


if __name__ == "__main__":
    main()
