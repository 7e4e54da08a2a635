"""Overload by CPU: what is still answered at five times the capacity, and how soon the others are refused.

    python -m benchmarks.overload --bench ../shared/bench [--kind paced|burst|whole] [--quota 1]
        [--times 5] [--seconds 10] [--rounds 3] [--out FILE]

The gateway has one core, or a share of it by a CPU quota of its control group (root, version 1 or 2; its
period is `PERIOD_US`); load generator and mock provider (compiled here with gcc) have the other core.
Capacity is the most that is answered in a second when an open loop offers more and more; then it offers as
much (1x), and `--times` as much, for `--seconds` each. As much as the gateway refused is offered to the
controls: a bare server under the same quota that answers each request with the same 503, and the same one
while it uses all the CPU time that it gets, `BUSY_S` at a time. Latency counts from when a request should be
sent. All on the loopback, all in the same run; prints JSON, medians of the rounds.

With a quota below 1 the kernel itself stops a process that uses all of it, and counts in ticks (4 ms at
250 Hz): one round may be followed by a pause of two periods. The busy control shows how much of it that is.

Kinds: `paced` streams of 50 events, one each 10 ms, as models write; `burst` the same without a pause;
`whole` answers of 600 bytes.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.servers import cpu_s, free_port

PERIOD_US = 5_000  # short: with 100 ms, a quota alone makes every answer late
CONNECTIONS_MAX = 3_000
CLIENTS = 128  # of the closed loop that shows where to begin
MORE = 1.2
BUSY_S = 0.0005
WARM_S = 2.0  # of an open loop: not counted
PAUSE_S = 1.0  # of a client in a closed loop that was refused
EVENT_GAP_US = {"paced": 10_000, "burst": 0}
CONFIG = """
[providers.bench]
base_url = "http://127.0.0.1:{provider}/v1"
[tiers.cheap]
targets = ["bench/small"]
[cache]
exact = "off"
[ledger]
bytes_max = 67_108_864
"""
_BODY = b'{"error":{"message":"%b"}}' % (b"x" * 100)
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


def wire(kind: str, port: int) -> bytes:
    body: dict[str, object] = {
        "model": "auto",
        "messages": [{"role": "user", "content": "What was a farthing worth? " * 30}],
    }
    if kind in EVENT_GAP_US:
        body |= {"stream": True, "seed": EVENT_GAP_US[kind]}
    raw = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    )
    return f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw


class Client(asyncio.Protocol):
    """One connection: a request at a time. `done` is told the status and when it should have been sent."""

    def __init__(self, request: bytes, done: Callable[["Client", int, float], None]) -> None:
        self.request = request
        self.done = done
        self.due_s = 0.0
        self.transport: asyncio.Transport | None = None
        self._status = 0
        self._left = 0
        self._said = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # uvloop's is one by shape only
        self._send()

    def ask(self, due_s: float) -> None:
        self.due_s = due_s
        self._status, self._said = 0, b""
        if self.transport is not None:
            self._send()

    def _send(self) -> None:
        assert self.transport is not None
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self._status:
            self._said += data
            head, found, body = self._said.partition(b"\r\n\r\n")
            if not found:
                return
            self._status = int(head[9:12])
            length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._left = int(length) - len(body) if length else -1
            self._said = body
        elif self._left >= 0:
            self._left -= len(data)
        else:
            self._said = self._said[-8:] + data
        if self._left == 0 or (self._left < 0 and self._said.endswith(b"0\r\n\r\n")):
            self.done(self, self._status, self.due_s)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.done(self, 0, self.due_s)


class Load:
    """Sends requests for a time and counts what came of them."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = request
        self.loop = asyncio.get_running_loop()
        self.answered = 0
        self.late = 0
        """Requests that no connection was left for."""
        self.broken = 0
        self.refused_ms: list[float] = []
        self.answered_ms: list[float] = []
        self.from_s = self.to_s = 0.0
        self.connections = 0
        self.idle: deque[Client] = deque()
        self.closed = False

    def count(self, client: Client, status: int, due_s: float) -> None:
        now_s = time.monotonic()
        if self.from_s <= now_s <= self.to_s:
            took_ms = (now_s - due_s) * 1000
            if status == 200:
                self.answered += 1
                self.answered_ms.append(took_ms)
            elif status == 503:
                self.refused_ms.append(took_ms)
            else:
                self.broken += 1
        if not status:
            self.connections -= 1
        elif self.closed:
            self.loop.call_later(PAUSE_S if status == 503 else 0, self._again, client)
        else:
            self.idle.append(client)

    def _again(self, client: Client) -> None:
        if client.transport is not None and time.monotonic() < self.to_s:
            client.ask(time.monotonic())

    def dial(self, due_s: float) -> None:
        self.connections += 1
        client = Client(self.request, self.count)
        client.ask(due_s)
        self.loop.create_task(self._dial(client))

    async def _dial(self, client: Client) -> None:
        try:
            await self.loop.create_connection(lambda: client, "127.0.0.1", self.port)
        except OSError:
            self.count(client, 0, client.due_s)

    async def loop_closed(self, clients: int, seconds: float) -> None:
        self.closed = True
        self.from_s = time.monotonic() + WARM_S / 2
        self.to_s = self.from_s + seconds
        for _ in range(clients):
            self.dial(time.monotonic())
        await asyncio.sleep(WARM_S / 2 + seconds)

    async def loop_open(self, rate: float, seconds: float) -> None:
        began_s = time.monotonic()
        self.from_s = began_s + WARM_S
        self.to_s = self.from_s + seconds
        sent = 0
        while (now_s := time.monotonic()) < self.to_s:
            while began_s + sent / rate <= now_s:
                due_s = began_s + sent / rate
                sent += 1
                while self.idle and self.idle[-1].transport is None:
                    self.idle.pop()
                if self.idle:
                    self.idle.pop().ask(due_s)
                elif self.connections < CONNECTIONS_MAX:
                    self.dial(due_s)
                else:
                    self.late += due_s >= self.from_s
            await asyncio.sleep(0.001)

    def figures(self) -> dict[str, float]:
        seconds = self.to_s - self.from_s
        return {
            "answered_per_s": self.answered / seconds,
            "refused_per_s": len(self.refused_ms) / seconds,
            "refused_p50_ms": quantile(self.refused_ms, 0.5),
            "refused_p99_ms": quantile(self.refused_ms, 0.99),
            "answered_p50_ms": quantile(self.answered_ms, 0.5),
            "answered_p99_ms": quantile(self.answered_ms, 0.99),
            "no_connection": self.late,
            "broken": self.broken,
        }


def quantile(values: list[float], share: float) -> float:
    """NaN without values."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def load(kind: str, port: int, *, clients: int = 0, rate: float = 0.0, seconds: float) -> dict[str, float]:
    import uvloop

    async def main() -> dict[str, float]:
        running = Load(port, wire(kind, port))
        if clients:
            await running.loop_closed(clients, seconds)
        else:
            await running.loop_open(rate, seconds)
        return running.figures()

    return uvloop.run(main())


def capacity(kind: str, port: int) -> float:
    """Answers a second at most: offered more and more until a tenth is missing."""
    rate = load(kind, port, clients=CLIENTS, seconds=2.0)["answered_per_s"]
    most = 0.0
    while True:
        answered = load(kind, port, rate=rate, seconds=3.0)["answered_per_s"]
        most = max(most, answered)
        if answered < 0.9 * rate:
            return most
        rate *= MORE


def serve_control(port: int, busy: bool) -> None:
    import uvloop

    class Refusing(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(REFUSAL)  # type: ignore[attr-defined]

    async def main() -> None:
        await asyncio.get_running_loop().create_server(Refusing, "127.0.0.1", port)
        while busy:
            until_s = time.thread_time() + BUSY_S
            while time.thread_time() < until_s:
                pass
            await asyncio.sleep(0)
        await asyncio.Event().wait()

    uvloop.run(main())


@contextlib.contextmanager
def quota(share: float) -> Iterator[Callable[[int], None]]:
    """A control group that gets `share` of one core; what it yields puts a process there.

    Raises:
        OSError: this user, or this machine, cannot have one.
    """
    quota_us = int(share * PERIOD_US)
    name = f"farthing-overload-{os.getpid()}-{time.monotonic_ns()}"
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    folder = Path("/sys/fs/cgroup") / name if unified.exists() else Path("/sys/fs/cgroup/cpu") / name
    folder.mkdir()
    try:
        if unified.exists():
            (folder / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        yield lambda pid: void((folder / "cgroup.procs").write_text(str(pid)))
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                (folder.parent / "cgroup.procs").write_text(pid)
        folder.rmdir()


def void(_: object) -> None: ...


@contextlib.contextmanager
def process(command: list[str], core: int, port: int, **env: str) -> Iterator[int]:
    """A process on one core that listens at `port`, for the time of a `with`; yields its id."""
    words = ["taskset", "-c", str(core), *command]
    with subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | env
    ) as it:
        try:
            until_s = time.monotonic() + 20
            while not listens(port):
                if time.monotonic() > until_s or it.poll() is not None:
                    raise RuntimeError(f"it did not start: {command}")
                time.sleep(0.05)
            yield it.pid
        finally:
            it.terminate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def one_round(
    kind: str, folder: Path, mock: Path, share: float, times: float, seconds: float
) -> dict[str, float]:
    provider, port, control = free_port(), free_port(), free_port()
    config = folder / "farthing.toml"
    config.write_text(CONFIG.format(provider=provider))
    serve = [
        sys.executable,
        "-c",
        "from farthing.cli.main import main; main()",
        "serve",
        "--config",
        str(config),
    ]
    figures: dict[str, float] = {}
    with (
        process([str(mock), "-p", str(provider)], 1, provider),
        tempfile.TemporaryDirectory() as state,
        process([*serve, "--port", str(port)], 0, port, FARTHING__STATE_DIR=state) as gateway,
        quota(share) as enter,
    ):
        load(kind, port, clients=16, seconds=1.0)
        enter(gateway)
        most = capacity(kind, port)
        once = load(kind, port, rate=most, seconds=seconds)["answered_per_s"]
        before_s = cpu_s(gateway)
        over = load(kind, port, rate=times * most, seconds=seconds)
        figures = {"capacity_per_s": most, **over, "cpu_s": cpu_s(gateway) - before_s}
        figures["once_per_s"] = once
        figures["goodput_of_1x"] = over["answered_per_s"] / once
        figures["goodput_of_capacity"] = over["answered_per_s"] / most
        after = load(kind, port, rate=most / 2, seconds=max(2.0, seconds / 3))
        figures["refused_afterwards_per_s"] = after["refused_per_s"]
    bare = [sys.executable, "-m", "benchmarks.overload", "--control", str(control)]
    for name, words in (("control", bare), ("busy_control", [*bare, "--busy"])):
        with process(words, 0, control) as refusing, quota(share) as enter:
            enter(refusing)
            alone = load(kind, control, rate=max(1.0, over["refused_per_s"]), seconds=seconds / 2)
            figures |= {f"{name}_{part}_ms": alone[f"refused_{part}_ms"] for part in ("p50", "p99")}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", type=Path, default=Path("../shared/bench"))
    parser.add_argument("--kind", choices=("paced", "burst", "whole"), default="paced")
    parser.add_argument("--quota", type=float, default=1.0)
    parser.add_argument("--times", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--control", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--busy", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.control is not None:
        serve_control(asked.control, asked.busy)
        return
    if not (asked.bench / "mock.c").is_file():
        sys.exit(f"{asked.bench}/mock.c is not there: give --bench")
    os.sched_setaffinity(0, {1})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4 * CONNECTIONS_MAX), most))
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        mock = Path(folder) / "mock"
        subprocess.run(["gcc", "-O2", "-o", str(mock), str(asked.bench / "mock.c")], check=True)
        for _ in range(asked.rounds):
            rounds.append(one_round(asked.kind, Path(folder), mock, asked.quota, asked.times, asked.seconds))
            print(json.dumps(rounds[-1]), file=sys.stderr)
    medians = {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}
    about = {"kind": asked.kind, "quota": asked.quota, "times": asked.times, "seconds": asked.seconds}
    text = json.dumps({"machine": machine(), **about, "medians": medians}, indent=1)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    main()
