"""Overload by CPU: what is still answered at five times the capacity, and how soon the others are refused.

    python -m benchmarks.overload --bench ../shared/bench [--kind paced|burst|whole] [--quota 1]
        [--times 5] [--seconds 10] [--rounds 3] [--out FILE]

The gateway has one core, or a share of it by a CPU quota of its control group (root, version 1 or 2; its
period is `PERIOD_US`); load generator and mock provider (both compiled here with gcc) have the other core.
Capacity is the most that is answered in a second when an open loop offers more and more; then it offers as
much (1x), and `--times` as much, for `--seconds` each. As much as the gateway refused is offered to the
controls: a bare server under the same quota that answers each request with the same 503, and the same one
while it uses all the CPU time that it gets, `BUSY_S` at a time. Latency counts from when a request should be
sent. All on the loopback, all in the same run; prints JSON, medians of the rounds (of histograms the sums).

How late the load generator (`overload.c`) is by itself stands beside it: `send_lag` and `read_lag`, as
quantiles and histograms (up to 1/16, 1/8, ... 64 ms, and over), and in `refused_net` what is left without
them. `gateway_waited_s`, `mock_waited_s` and `stolen_s` tell a run that others disturbed: gateway or provider
wanted its core. Where the load generator (`cpu_share`) and `mock_cpu_s` fill the other core, and where the
provider waited much, streams last longer by it.

With a quota below 1 the kernel itself stops a process that uses all of it, and counts in ticks (4 ms at
250 Hz): one round may be followed by a pause of two periods. The busy control shows how much of it that is.

Kinds: `paced` streams of 50 events, one each 10 ms, as models write; `burst` the same without a pause;
`whole` answers of 600 bytes.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from benchmarks.machine import machine
from benchmarks.servers import cpu_s, free_port

PERIOD_US = 5_000  # short: with 100 ms, a quota alone makes every answer late
CONNECTIONS_MAX = 3_000
CLIENTS = 128  # of the closed loop that shows where to begin
MORE = 1.2
BUSY_S = 0.0005
WARM_S = 2.0  # of an open loop: not counted
OF_CONTROL = ("refused_p50_ms", "refused_p99_ms", "refused_net_p99_ms", "send_lag_p99_ms", "read_lag_p99_ms")
NICE = -20  # as on a machine of its own
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


class Bench(Struct, frozen=True):
    """What is compiled, and where."""

    mock: Path
    load: Path
    request: Path
    """A file for what is sent."""

    def send(
        self, kind: str, port: int, *, clients: int = 0, rate: float = 0.0, seconds: float
    ) -> dict[str, Any]:
        """What came of requests at `rate` a second, or of so many clients; see `overload.c`. NaN: unknown.

        Raises:
            RuntimeError: the load generator failed.
        """
        self.request.write_bytes(wire(kind, port))
        words = [str(self.load), "-p", str(port), "-q", str(self.request), "-d", str(seconds)]
        words += ["-c", str(clients), "-w", str(WARM_S / 2), "-z", str(PAUSE_S)] if clients else []
        words += [] if clients else ["-r", str(rate), "-w", str(WARM_S), "-n", str(CONNECTIONS_MAX)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the load generator failed: {done.stderr.strip()}")
        return {name: math.nan if value is None else value for name, value in json.loads(done.stdout).items()}


def compiled(folder: Path, mock_source: Path) -> Bench:
    """Raises:
    CalledProcessError: gcc failed.
    """
    bench = Bench(folder / "mock", folder / "load", folder / "request")
    for source, program in ((mock_source, bench.mock), (Path(__file__).with_suffix(".c"), bench.load)):
        subprocess.run(["gcc", "-O2", "-o", str(program), str(source), "-lm"], check=True)
    return bench


def capacity(bench: Bench, kind: str, port: int) -> float:
    """Answers a second at most: offered more and more until a tenth is missing."""
    rate = float(bench.send(kind, port, clients=CLIENTS, seconds=2.0)["answered_per_s"])
    most = 0.0
    while True:
        answered = float(bench.send(kind, port, rate=rate, seconds=3.0)["answered_per_s"])
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
            (folder / "cpu.weight").write_text("10000")  # a niceness does not reach beyond its group
        else:
            (folder / "cpu.shares").write_text("262144")
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
    words = ["nice", "-n", str(NICE), "taskset", "-c", str(core), *command]
    with subprocess.Popen(
        words,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | env,
        start_new_session=True,
    ) as it:
        try:
            with contextlib.suppress(OSError):  # a niceness does not reach beyond its session
                Path(f"/proc/{it.pid}/autogroup").write_text(str(NICE))
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


def waited_s(pid: int) -> float:
    """How long the main thread of a process was ready to run, while others had its core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def stolen_s() -> float:
    """What the host kept of the time of this machine's cores so far."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")


def one_round(
    bench: Bench, kind: str, folder: Path, share: float, times: float, seconds: float
) -> dict[str, Any]:
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
    figures: dict[str, Any] = {}
    with (
        process([str(bench.mock), "-p", str(provider)], 1, provider) as mock,
        tempfile.TemporaryDirectory() as state,
        process([*serve, "--port", str(port)], 0, port, FARTHING__STATE_DIR=state) as gateway,
        quota(share) as enter,
    ):
        bench.send(kind, port, clients=16, seconds=1.0)
        enter(gateway)
        most = capacity(bench, kind, port)
        once = bench.send(kind, port, rate=most, seconds=seconds)
        before_s, waited_before_s, stolen_before_s = cpu_s(gateway), waited_s(gateway), stolen_s()
        mock_before_s, mock_waited_before_s = cpu_s(mock), waited_s(mock)
        over = bench.send(kind, port, rate=times * most, seconds=seconds)
        figures = {"capacity_per_s": most, **over, "gateway_cpu_s": cpu_s(gateway) - before_s}
        figures["mock_cpu_s"] = cpu_s(mock) - mock_before_s
        figures["mock_waited_s"] = waited_s(mock) - mock_waited_before_s
        figures["gateway_waited_s"] = waited_s(gateway) - waited_before_s
        figures["stolen_s"] = stolen_s() - stolen_before_s
        figures["load_average"] = os.getloadavg()[0]
        figures |= {f"once_{name}": once[name] for name in ("answered_per_s", "refused_per_s")}
        figures["goodput_of_1x"] = over["answered_per_s"] / once["answered_per_s"]
        figures["goodput_of_capacity"] = over["answered_per_s"] / most
        after = bench.send(kind, port, rate=most / 2, seconds=max(2.0, seconds / 3))
        figures["refused_afterwards_per_s"] = after["refused_per_s"]
    bare = [sys.executable, "-m", "benchmarks.overload", "--control", str(control)]
    for name, words in (("control", bare), ("busy_control", [*bare, "--busy"])):
        with process(words, 0, control) as refusing, quota(share) as enter:
            enter(refusing)
            alone = bench.send(kind, control, rate=max(1.0, over["refused_per_s"]), seconds=seconds / 2)
            figures |= {f"{name}_{part}": value for part, value in alone.items() if part in OF_CONTROL}
    return figures


def middle(values: list[Any]) -> Any:
    """The median; of histograms the sum."""
    if isinstance(values[0], list):
        return [sum(column) for column in zip(*values, strict=True)]
    return round(statistics.median(values), 3)


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
        bench = compiled(Path(folder), asked.bench / "mock.c")
        for _ in range(asked.rounds):
            rounds.append(one_round(bench, asked.kind, Path(folder), asked.quota, asked.times, asked.seconds))
            print(json.dumps(rounds[-1]), file=sys.stderr)
    medians = {name: middle([one[name] for one in rounds if name in one]) for name in rounds[0]}
    about = {"kind": asked.kind, "quota": asked.quota, "times": asked.times, "seconds": asked.seconds}
    text = json.dumps({"machine": machine(), **about, "medians": medians}, indent=1)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    main()
