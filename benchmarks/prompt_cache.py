"""What measuring prompt caches costs, in microseconds of CPU: `python -m benchmarks.prompt_cache`.

Prints JSON: for prompts of several sizes what a call costs that goes on from the one before. On its way:
before it is sent (`sent`), once its usage is known (`told`), what a router asks (`warm`). Beside it: reading
the prompt while its provider works on it (`read`), and remembering it behind its answer. `us` is all of it
but for the router. Then what the first call of a session costs, and the longest piece of it that others wait
for. Each figure is the median of rounds, beside the least. The prompts are an agent's: tools, a system
prompt, and messages of which the last two are marked, or none. Figures of one machine are comparable with
each other only.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

from benchmarks.machine import machine
from farthing.models.prompt_cache.sessions import MemoryPromptCaches
from farthing.types import DEFAULT_ENDPOINT, Price, Request, Target, Tenant, Usage

T = TypeVar("T")
ROUNDS = 200
PRICE = Price(
    since="0000-00-00",
    input_pusd=4_000_000,
    output_pusd=20_000_000,
    cached_input_pusd=400_000,
    cache_write_pusd=5_000_000,
)
TARGET = Target(name="a/claude-sonnet-5", provider="a", model="claude-sonnet-5", price=PRICE)
FIRST = Usage(input_tokens=5_000, cache_write_5m_tokens=4_990)
LATER = Usage(input_tokens=5_500, cached_tokens=4_990, cache_write_5m_tokens=500)
SIZES = {
    "a system prompt": (3, 2),
    "an agent begins": (21, 60),
    "an agent": (101, 60),
    "200 kB": (201, 60),
    "a day's work": (1_001, 60),
}
"""Messages and tools."""


def body_of(messages: int, tools: int, *, marked: bool = True) -> bytes:
    turns = []
    for number in range(messages):
        block: dict[str, object] = {"type": "text", "text": f"{number} " + "some words of a turn " * 24}
        if marked and number >= messages - 2:
            block["cache_control"] = {"type": "ephemeral"}
        turns.append({"role": "user" if number % 2 == 0 else "assistant", "content": [block]})
    offered = [{"name": f"tool_{number}", "description": "What it does. " * 70} for number in range(tools)]
    system = [{"type": "text", "text": "A rule of the house. " * tools * 16}]
    said = {"model": "x", "messages": turns, "system": system, "tools": offered, "max_tokens": 5}
    return json.dumps(said, separators=(",", ":")).encode()


def request_of(raw: bytes) -> Request:
    return Request(
        id="r",
        tenant=Tenant(name="t"),
        endpoint=DEFAULT_ENDPOINT,
        operation="chat",
        model="auto",
        body=json.loads(raw),
        text="",
        prompt_chars=len(raw),
        session="s",
    )


class Figures:
    """Microseconds by what they were spent on."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def time(self, name: str, work: Callable[[], T]) -> T:
        began_s = time.perf_counter()
        done = work()
        self.found.setdefault(name, []).append((time.perf_counter() - began_s) * 1e6)
        return done

    def told(self) -> dict[str, list[float]]:
        return {
            name: [round(statistics.median(took), 1), round(min(took), 1)]
            for name, took in self.found.items()
        }


def caches_of(waiting: list[Callable[[], object]]) -> MemoryPromptCaches:
    return MemoryPromptCaches(clock=time.monotonic, later=waiting.append)


def run_out(waiting: list[Callable[[], object]], took_us: list[float] | None = None) -> None:
    while waiting:
        work = waiting.pop(0)
        began_s = time.perf_counter()
        work()
        if took_us is not None:
            took_us.append((time.perf_counter() - began_s) * 1e6)


def measure(messages: int, tools: int, *, marked: bool) -> dict[str, object]:
    first, later = (body_of(count, tools, marked=marked) for count in (messages, messages + 2))
    asked, asks = request_of(first), request_of(later)
    pieces_us: list[float] = []
    figures = Figures()
    for number in range(ROUNDS):
        waiting: list[Callable[[], object]] = []
        caches = caches_of(waiting)
        took_us: list[float] = []
        sent = figures.time("", lambda: caches.sent(asked, TARGET, first))  # noqa: B023
        took_us.append(figures.found[""].pop())
        run_out(waiting, took_us)
        if number < ROUNDS // 5 and (not pieces_us or sum(took_us) < sum(pieces_us)):
            pieces_us = took_us
        assert sent is not None
        sent.told(FIRST, PRICE)
        run_out(waiting)
        figures.time("warm_us", lambda: caches.warm_targets(asks))  # noqa: B023
        after = figures.time("sent_us", lambda: caches.sent(asks, TARGET, later))  # noqa: B023
        assert after is not None
        figures.time("read_us", lambda: run_out(waiting))  # noqa: B023
        figures.time("told_us", lambda: after.told(LATER, PRICE))  # noqa: B023
        figures.time("remembered_us", lambda: run_out(waiting))  # noqa: B023
    del figures.found[""]
    parts = ("sent_us", "read_us", "told_us", "remembered_us")
    figures.found["us"] = [sum(one) for one in zip(*(figures.found[name] for name in parts), strict=True)]
    return {
        "body_bytes": len(later),
        **figures.told(),
        "first_us": round(sum(pieces_us), 1),
        "first_longest_us": round(max(pieces_us), 1),
    }


def main() -> None:
    found: dict[str, object] = {}
    for name, size in SIZES.items():
        found[name] = measure(*size, marked=True)
        found[f"{name}, unmarked"] = measure(*size, marked=False)
    short, figures = request_of(body_of(1, 0)), Figures()
    caches = MemoryPromptCaches(clock=time.monotonic)
    for _ in range(ROUNDS):
        figures.time("sent_us", lambda: caches.sent(short, TARGET, b"{}" * 600))
    found["too short"] = figures.told()
    print(json.dumps({**machine(), "prompts": found}, indent=2))


if __name__ == "__main__":
    main()
