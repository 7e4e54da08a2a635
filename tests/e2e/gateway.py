"""The real gateway, as a process on a free port, for the time of a `with`; and plain sockets to talk to it.

Nothing of it is replaced: tests speak HTTP to it, read its ledger as `farthing report` does, and look at
what the fault provider behind it saw.
"""

import dataclasses
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from farthing.ledger import read
from farthing.ledger.rows import Intent
from farthing.types import Receipt

ROOT = Path(__file__).parents[2]
START_S = 60.0
LIMIT_S = 30.0
COMMAND = [sys.executable, "-c", "from farthing.cli.main import main; main()", "serve"]
T = TypeVar("T")


def until(
    what: Callable[[], T | Literal[False] | None], timeout_s: float = LIMIT_S, every_s: float = 0.01
) -> T:
    """Ask `what` until its answer is true, and return that.

    Raises:
        TimeoutError: it was not, in time. Carries the last answer.
    """
    end_s = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > end_s:
            raise TimeoutError(f"still {found!r} after {timeout_s} s")
        time.sleep(every_s)


@dataclasses.dataclass(slots=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def events(self) -> list[Any]:
        """The JSON of each event; `[DONE]` is the string."""
        found: list[Any] = []
        for event in self.body.split(b"\n\n"):
            data = b"".join(line[6:] for line in event.split(b"\n") if line.startswith(b"data: "))
            if data:
                found.append("[DONE]" if data == b"[DONE]" else json.loads(data))
        return found

    @property
    def said(self) -> str:
        """The text of a stream's first choice."""
        return "".join(
            choice["delta"].get("content") or ""
            for event in self.events
            if isinstance(event, dict)
            for choice in event.get("choices") or ()
            if choice["index"] == 0
        )


class Running:
    """A gateway that was started. `log` holds what it wrote."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, state: Path, config: Path, log: Path):
        self.process = process
        self.port = port
        self.state = state
        self.config = config
        self.log = log

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    # -- talking -----------------------------------------------------------------------------------

    def post(
        self, path: str, body: Any, headers: dict[str, str] | None = None, *, timeout_s: float = LIMIT_S
    ) -> Reply:
        """Send `body` (bytes as they are, anything else as JSON) and read the whole answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json", **(headers or {})}
        return self.request("POST", path, raw, given, timeout_s=timeout_s)

    def chat(
        self,
        text: str = "hello",
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float = LIMIT_S,
        **fields: Any,
    ) -> Reply:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        return self.post("/v1/chat/completions", body, headers, timeout_s=timeout_s)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        timeout_s: float = LIMIT_S,
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, response.read())
        finally:
            connection.close()

    def dial(self, timeout_s: float = LIMIT_S, receive_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(timeout_s)
        client.connect(("127.0.0.1", self.port))
        return client

    def open_stream(self, text: str = "hello", **fields: Any) -> socket.socket:
        """Ask for a stream and return the socket, nothing read."""
        client = self.dial()
        client.sendall(self.chat_bytes(text, stream=True, **fields))
        return client

    def chat_bytes(self, text: str = "hello", **fields: Any) -> bytes:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}], **fields}
        return self.wire("/v1/chat/completions", json.dumps(body).encode())

    def wire(self, path: str, body: bytes, *lines: str) -> bytes:
        head = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{self.port}", "content-type: application/json"]
        head += [*lines, f"content-length: {len(body)}"]
        return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body

    # -- what it left behind -------------------------------------------------------------------------

    def rows(self) -> list[Intent | Receipt]:
        return list(read.read(self.state / "ledger"))

    def receipts(self) -> list[Receipt]:
        return [row for row in self.rows() if isinstance(row, Receipt)]

    def receipt_of(self, reply: Reply) -> Receipt:
        """The one receipt of an answered request, which is there already: it is written first."""
        found = [row for row in self.receipts() if row.request_id == reply.headers["x-request-id"]]
        assert len(found) == 1, found
        return found[0]

    def next_receipt(self, before: int, timeout_s: float = LIMIT_S) -> Receipt:
        """Wait for a receipt beyond the first `before`; the newest of them."""
        return until(lambda: self.receipts()[before:], timeout_s)[-1]

    def logged(self) -> str:
        return self.log.read_text(errors="replace")

    def metric(self, name: str) -> float:
        """The sum of every sample of that name."""
        text = self.request("GET", "/metrics").body.decode()
        lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def wait_in_progress(self, count: int) -> None:
        """Wait until so many requests are in progress: those that were sent have come."""
        until(lambda: self.metric("farthing_requests_in_progress") >= count)

    def memory_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    # -- its life --------------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it by SIGTERM and return its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def start(config: str, folder: Path, env: dict[str, str] | None = None) -> Running:
    """Start a gateway with the configuration text `config`; its state lives in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path, log = folder / "farthing.toml", folder / "gateway.log"
    path.write_text(config)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FARTHING__")}
    variables = {**inherited, "PYTHONPATH": str(ROOT / "src"), "FARTHING__STATE_DIR": str(folder / "state")}
    variables["FARTHING__CALL__ASK_MODELS"] = "false"  # tests count what is asked of their providers
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*COMMAND, "--config", str(path), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**variables, **(env or {})},
        )
    port = listening_port(process)
    if port is None:
        process.kill()
        process.wait()
        raise RuntimeError(f"the gateway did not start:\n{log.read_text()}")
    return Running(process, port, folder / "state", path, log)


def listening_port(process: "subprocess.Popen[bytes]") -> int | None:
    """Read what it prints until it names its address; None when it ended first."""
    assert process.stdout is not None
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            words = line.decode().split()
            if words[:2] == ["base", "URL"]:
                return urlsplit(words[2]).port
        return None
    finally:
        watchdog.cancel()


@contextmanager
def running(config: str, folder: Path, env: dict[str, str] | None = None) -> Iterator[Running]:
    """A gateway for the time of a `with`. It must end by SIGTERM with status 0 and no error of its own."""
    gateway = start(config, folder, env)
    try:
        yield gateway
        assert gateway.process.poll() is not None or gateway.stop() == 0, gateway.logged()
        assert "fault of ours" not in gateway.logged(), gateway.logged()
        assert "Traceback" not in gateway.logged(), gateway.logged()
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
        gateway.process.wait()
        assert gateway.process.stdout is not None
        gateway.process.stdout.close()
