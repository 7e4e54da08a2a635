"""What each trick of the event loop gives: the gateway as it is beside the same one without it, in turns.

    python -m benchmarks.tricks --bench ../shared/bench --starts 3 --turns 4
    python -m benchmarks.tricks "plain tasks" "eager tasks" --bench ../shared/bench

Each gateway is this checkout's, with one thing replaced when its process starts (`WITHOUT`). They stand ready
on one core, the bench's load generator and mock provider on the other, and each gets one second in turn; see
`trees`. Printed is CPU per request, and its median ratio to the gateway as it is, of the same turn.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks import trees
from benchmarks.machine import machine
from farthing.brain.cache import exact
from farthing.pipeline import answer, steps
from farthing.runtime import loop_batch
from farthing.runtime.loop_batch import LoopBatch

HERE = Path(__file__).parents[1]


class PlainTask:
    """In the place of a `RequestRunner`: a task from the start."""

    def __init__(self, batch: LoopBatch, work: Coroutine[Any, Any, None]) -> None:
        self._task = batch.loop.create_task(work, context=batch.context.copy())

    def cancel(self, why: str) -> None:
        self._task.cancel(why)


def plain_tasks() -> None:
    """Every request is a task from the start, so there are no stages either."""

    def start(batch: LoopBatch, work: Coroutine[Any, Any, None]) -> PlainTask:
        return PlainTask(batch, work)

    LoopBatch.start = start  # type: ignore[method-assign, assignment]


def eager_tasks() -> None:
    """As plain tasks, and each runs to its first wait where it is made: Python 3.12 and later.

    For requests that wait for a provider alone: one that ended at once would never be seen to end.
    """
    make = vars(asyncio)["eager_task_factory"]

    class EagerTask(PlainTask):
        def __init__(self, batch: LoopBatch, work: Coroutine[Any, Any, None]) -> None:
            self._task = make(batch.loop, work, context=batch.context.copy())

    def start(batch: LoopBatch, work: Coroutine[Any, Any, None]) -> PlainTask:
        return EagerTask(batch, work)

    LoopBatch.start = start  # type: ignore[method-assign, assignment]


def no_stages() -> None:
    """No request waits for the others of its turn to come as far."""

    async def goes_on() -> None:
        return None

    setattr(answer, "batch_barrier", goes_on)  # noqa: B010  # a name it only imports


def writes_at_once() -> None:
    """What is to be sent is sent at once, not at the end of the turn."""

    def write(batch: LoopBatch, transport: asyncio.Transport, data: bytes) -> None:
        if not transport.is_closing():
            transport.write(data)

    LoopBatch.write = LoopBatch.write_soon = write  # type: ignore[method-assign, assignment]


def nothing_of_it() -> None:
    plain_tasks()
    writes_at_once()


def foreign_step() -> None:
    """One step does not say that it is immediate, so the journey is a task from its first step on."""
    setattr(steps, "is_immediate", lambda *implementations: False)  # noqa: B010  # a name it only imports


def foreign_store_alone() -> None:
    """What a finer grain would give: the journey becomes a task where it comes to the cache's store."""
    looked_up = exact.ExactCache.lookup

    async def lookup(cache: exact.ExactCache, key: bytes) -> Any:
        await loop_batch.in_task()
        return await looked_up(cache, key)

    exact.ExactCache.lookup = lookup  # type: ignore[method-assign, assignment]


WITHOUT: dict[str, Callable[[], None]] = {
    "as it is": lambda: None,
    "plain tasks": plain_tasks,
    **({"eager tasks": eager_tasks} if hasattr(asyncio, "eager_task_factory") else {}),
    "no stages": no_stages,
    "writes at once": writes_at_once,
    "nothing of it": nothing_of_it,
    "a step that is not immediate": foreign_step,
    "the same, from that step on": foreign_store_alone,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *WITHOUT], help="which of them; all unless named")
    parser.add_argument("--bench", type=Path, default=Path("../shared/bench"))
    parser.add_argument("--turns", type=int, default=5, help="for each start")
    parser.add_argument("--starts", type=int, default=3)
    asked = parser.parse_args()
    if not (asked.bench / "load.c").is_file():
        sys.exit(f"{asked.bench}/load.c is not there: give --bench")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        trees.prepare(asked.bench, work)
        names = ["as it is", *asked.names] if asked.names else list(WITHOUT)
        figures: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(asked.starts):
            measure_once(asked.turns, work, figures)
    print(json.dumps({"machine": machine(), "cpu": summed(figures)}, indent=1))


def measure_once(turns: int, work: Path, figures: dict[str, list[float]]) -> None:
    """Add what each turn of one start took to `figures`."""
    mock = [str(work / "mock"), "-p", str(trees.MOCK_PORT)]
    started = [subprocess.Popen(["taskset", "-c", "1", *mock])]
    try:
        gateways = {}
        for place, name in enumerate(figures):
            program = f"from benchmarks import tricks; tricks.serve({name!r})"
            gateways[name] = trees.start(HERE, trees.PORT + place, work, ["-c", program])
        started += gateways.values()
        for place in range(len(gateways)):
            trees.await_port(trees.PORT + place)
        for turn in range(turns + 1):
            for place, (name, gateway) in enumerate(gateways.items()):
                figure = trees.one_second(gateway, trees.PORT + place, work)
                if turn:  # the first warms it up
                    figures[name].append(figure)
    finally:
        for process in started:
            process.terminate()
            process.wait(trees.READY_S)


def serve(name: str) -> None:
    """Be the gateway without what `name` says, as its process."""
    from farthing.cli.main import main as run

    WITHOUT[name]()
    run()


def summed(figures: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    whole = figures["as it is"]
    return {
        name: {
            "us_least": round(min(mine), 1),
            "us_median": round(statistics.median(mine), 1),
            "ratio_median": round(statistics.median(a / b for a, b in zip(mine, whole, strict=True)), 3),
        }
        for name, mine in figures.items()
    }


if __name__ == "__main__":
    main()
