"""What measuring prompt caches costs, in microseconds of CPU: `python -m benchmarks.prompt_cache`.

Prints JSON: for prompts of several sizes what the call that is seen first costs, the longest piece of it that
other requests wait for, and what one costs that goes on from it: before it is sent, after its usage is known,
and what a router asks. The prompts are an agent's: tools, a system prompt, and messages of which the last two
are marked. Figures of one machine are comparable with each other only.
"""

import json
import time
from collections.abc import Callable

from benchmarks.machine import machine
from farthing.models.prompt_cache.sessions import MemoryPromptCaches
from farthing.types import DEFAULT_ENDPOINT, Price, Request, Target, Tenant, Usage

ROUNDS = 200
PRICE = Price(
    since="0000-00-00",
    input_pusd=4_000_000,
    output_pusd=20_000_000,
    cached_input_pusd=400_000,
    cache_write_pusd=5_000_000,
)
TARGET = Target(name="a/claude-sonnet-5", provider="a", model="claude-sonnet-5", price=PRICE)
USAGE = Usage(input_tokens=5_000, cached_tokens=4_000, cache_write_5m_tokens=900)
SIZES = {
    "a system prompt": (3, 2),
    "an agent begins": (21, 60),
    "an agent": (101, 60),
    "a day's work": (1_001, 60),
}
"""Messages and tools."""


def body_of(messages: int, tools: int) -> bytes:
    turns = []
    for number in range(messages):
        block: dict[str, object] = {"type": "text", "text": f"{number} " + "some words of a turn " * 24}
        if number >= messages - 2:
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


def least_us(work: Callable[[], object]) -> float:
    least_s = float("inf")
    for _ in range(ROUNDS):
        began_s = time.perf_counter()
        work()
        least_s = min(least_s, time.perf_counter() - began_s)
    return round(least_s * 1e6, 1)


def measure(messages: int, tools: int) -> dict[str, object]:
    first, later = body_of(messages, tools), body_of(messages + 2, tools)
    pieces_us: list[float] = []
    for _ in range(20):
        waiting: list[Callable[[], object]] = []
        fresh = MemoryPromptCaches(clock=time.monotonic, later=waiting.append)
        asked = request_of(first)
        work: Callable[[], object] = lambda: fresh.sent(asked, TARGET, first)  # noqa: B023, E731
        took_us: list[float] = []
        while True:
            began_s = time.perf_counter()
            work()
            took_us.append((time.perf_counter() - began_s) * 1e6)
            if not waiting:
                break
            work = waiting.pop()
        pieces_us = took_us if not pieces_us or sum(took_us) < sum(pieces_us) else pieces_us
    caches = MemoryPromptCaches(clock=time.monotonic)
    sent = caches.sent(request_of(first), TARGET, first)
    assert sent is not None
    sent.told(USAGE, PRICE)
    asks = request_of(later)
    after = caches.sent(asks, TARGET, later)
    assert after is not None
    return {
        "body_bytes": len(later),
        "first_us": round(sum(pieces_us), 1),
        "first_longest_us": round(max(pieces_us), 1),
        "sent_us": least_us(lambda: caches.sent(asks, TARGET, later)),
        "told_us": least_us(lambda: after.told(USAGE, PRICE)),
        "warm_us": least_us(lambda: caches.warm_targets(asks)),
    }


def main() -> None:
    found = {name: measure(*size) for name, size in SIZES.items()}
    short = request_of(body_of(1, 0))
    caches = MemoryPromptCaches(clock=time.monotonic)
    found["too short"] = {"sent_us": least_us(lambda: caches.sent(short, TARGET, b"{}" * 600))}
    print(json.dumps({**machine(), "prompts": found}, indent=2))


if __name__ == "__main__":
    main()
