"""What taking a request and giving a canned answer costs: Farthing's own server binding beside others.

    python -m benchmarks.servers --bench ../shared/bench [--seconds 2] [--rounds 3] [--out FILE]

Each server answers a 1 KB POST with 600 bytes of JSON and does nothing else; it has one core, the load
generator of the side-by-side bench (compiled here with gcc) the other, 64 connections in a closed loop.
CPU is that of the server's process. Prints JSON; medians of interleaved rounds. Servers that are not
installed (uvicorn with httptools, granian) are left out, and said to be.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import machine

ANSWER = json.dumps({"choices": [{"message": {"content": "A quarter of an old penny. " * 18}}]}).encode()


async def app(scope, receive, send):  # type: ignore[no-untyped-def]
    """The least an ASGI application can do."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


async def rsgi(scope, proto):  # type: ignore[no-untyped-def]
    """The least an RSGI application can do."""
    await proto()
    proto.response_bytes(200, [("content-type", "application/json")], ANSWER)


def serve_own(port: int) -> None:
    import uvloop

    from farthing.config import ServerConfig
    from farthing.edge.http.answering import HttpRequest, Refused
    from farthing.edge.http.connection import ClientConnection
    from farthing.edge.http.server import Server
    from farthing.runtime.loop_batch import LoopBatch

    async def handler(connection: ClientConnection, http: HttpRequest) -> None:
        connection.answer(200, b"content-type: application/json\r\n", ANSWER)
        connection.finish(http.keep_alive)

    def refusal(status: int, message: str, http: HttpRequest) -> Refused:
        return status, b"", b""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        config = ServerConfig(port=port)
        server = Server(config, handler, refusal, loop=loop, turn=LoopBatch(loop))
        await server.start()
        await asyncio.Event().wait()

    uvloop.run(main())


COMMANDS = {
    "farthing": [sys.executable, "-m", "benchmarks.servers", "--serve"],
    "uvicorn, raw ASGI": [
        *(
            sys.executable,
            "-m",
            "uvicorn",
            "benchmarks.servers:app",
            "--http",
            "httptools",
            "--loop",
            "uvloop",
        ),
        *("--log-level", "critical", "--no-access-log", "--port"),
    ],
    "granian, RSGI": [
        *(sys.executable, "-m", "granian", "--interface", "rsgi", "benchmarks.servers:rsgi", "--no-log"),
        *("--loop", "uvloop", "--port"),
    ],
}


def cpu_s(pid: int) -> float:
    """User and system time of a process and its children so far."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(status.parent.name) == pid or int(fields[1]) == pid:
            for task in (status.parent / "task").glob("*/schedstat"):
                total += int(task.read_text().split()[0])
    return total / 1e9


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def measure(command: list[str], load: Path, body: Path, seconds: float) -> float:
    """CPU microseconds a request."""
    port = free_port()
    server = subprocess.Popen(["taskset", "-c", "0", *command, str(port)], stdout=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        words = ["taskset", "-c", "1", str(load), "-p", str(port), "-b", str(body), "-c", "64", "-d"]
        subprocess.run([*words, "0.5"], capture_output=True, check=True)
        before_s = cpu_s(server.pid)
        said = subprocess.run([*words, str(seconds)], capture_output=True, check=True, text=True).stdout
        done = json.loads(said)
        assert done["err"] == done["bad_status"] == 0, said
        return (cpu_s(server.pid) - before_s) / int(done["done"]) * 1e6
    finally:
        server.terminate()
        server.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", type=Path, default=Path("../shared/bench"))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve is not None:
        serve_own(asked.serve)
        return
    if not (asked.bench / "load.c").is_file():
        sys.exit(f"{asked.bench}/load.c is not there: give --bench")
    commands = {n: c for n, c in COMMANDS.items() if importlib.util.find_spec(n.partition(",")[0])}
    for name in COMMANDS.keys() - commands.keys():
        print(f"{name} is not installed: it is left out", file=sys.stderr)
    figures: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        load, body = Path(folder) / "load", asked.bench / "body.json"
        subprocess.run(["gcc", "-O2", "-o", str(load), str(asked.bench / "load.c")], check=True)
        for _ in range(asked.rounds):
            for name, command in commands.items():
                figures[name].append(measure(command, load, body, asked.seconds))
    medians = {name: round(statistics.median(values), 1) for name, values in figures.items()}
    text = json.dumps({"machine": machine(), "cpu_us_per_request": medians}, indent=1)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    main()
