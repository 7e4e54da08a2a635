"""How much work something is, said so that a slow or busy machine changes nothing: in processor time, which
others do not take part in, and against a control that the same thread runs in between."""

import sys
import time
from collections.abc import Callable

CONTROL_TURNS = 50_000
BUSY_S = 5.0
"""What a busy machine may add to what waits for a process; tests tell it from what takes longer still."""


def control() -> None:
    """The work that others are compared with."""
    for _ in range(CONTROL_TURNS):
        pass


def least_s(work: Callable[[], object], tries: int = 5) -> float:
    """Seconds of processor time of this thread that `work` takes: the least of some tries."""
    return min(_took_s(work) for _ in range(tries))


def turn_s(tries: int = 5) -> float:
    """Processor time of one turn of an empty loop here and now: some 20 ns where nothing else runs."""
    return least_s(control, tries) / CONTROL_TURNS


def turns(work: Callable[[], object], tries: int = 5) -> float:
    """How many turns of an empty loop take this thread as long as `work`. One runs after the other, so that
    what slows one slows the other; the least of each counts."""
    ours_s = control_s = float("inf")
    for _ in range(tries):
        control_s = min(control_s, _took_s(control))
        ours_s = min(ours_s, _took_s(work))
    control_s = min(control_s, _took_s(control))
    return ours_s / control_s * CONTROL_TURNS


def _took_s(work: Callable[[], object]) -> float:
    began_s = time.thread_time()
    work()
    return time.thread_time() - began_s


def process_cpu_s(pid: int) -> float | None:
    """Processor time that a process has had, all threads together; None: only Linux tells it of another."""
    if not sys.platform.startswith("linux"):
        return None
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) makes it
