"""The fault provider itself: in this process on a thread of its own, or as a process.

    with FaultProvider() as provider:
        provider.script("U3", "U10", "good")        # the next three calls, whatever their model says
        ...call provider.base_url...
        assert provider.calls[0].aborted

    python -m tests.faults.provider --port 9201 --truth truth.jsonl [--tls-cert FILE --tls-key FILE]

The process prints one JSON line with its `base_url` when it listens, and ends on SIGTERM or SIGINT.
"""

import argparse
import asyncio
import json
import signal
import ssl
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote

from tests.faults import converse, rented
from tests.faults.answers import Chat
from tests.faults.batches import PATHS, Desk, Refused
from tests.faults.connection import Connection, Incoming
from tests.faults.exact import Exact
from tests.faults.gemini import Gemini, model_of
from tests.faults.messages import Messages
from tests.faults.network import certificate
from tests.faults.reply import Reply
from tests.faults.responses import Responses
from tests.faults.said import Dialect
from tests.faults.script import Chance, Plan, parse, script_of_model
from tests.faults.stored import Shelf
from tests.faults.truth import Call, Truth

TlsFault = Literal["good", "wrong-host", "expired", "stalled"]
CONNECTIONS_MAX = 8192
START_S = STOP_S = 10.0


class FaultProvider:
    """Listens from `__enter__` to `__exit__` on 127.0.0.1. Every public member may be used from any thread.

    `tls`: an own authority signs the certificate (`ca_file` trusts it); `stalled` accepts and never shakes
    hands. `on_call` sees each call before its reply and may return a script; it runs on the provider's loop.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        tls: TlsFault | ssl.SSLContext | None = None,
        truth: Path | None = None,
        on_call: Callable[[Call], str | None] | None = None,
        keep_bodies: bool = True,
    ) -> None:
        self.host, self.port = "127.0.0.1", port
        self.tls = tls
        self.on_call = on_call
        self.connections_opened = 0
        self.connections_peak = 0
        self.failures: list[BaseException] = []
        """What went wrong in the provider itself; `close` raises the first."""
        self._queue: deque[str] = deque(maxlen=100_000)
        self._exact: dict[str, deque[Exact]] = {}
        self._chance = Chance()
        self._truth = Truth(truth, keep_bodies=keep_bodies)
        self.desk = Desk(self._truth, lambda call: None if self.on_call is None else self.on_call(call))
        """Its files and batches."""
        self.shelf = Shelf()
        """The chat completions that it keeps."""
        self._chat, self._messages, self._responses = Chat(self.shelf.keep), Messages(), Responses()
        self._gemini = Gemini()
        self._bedrock = converse.Bedrock()
        self._vertex_claude = rented.VertexClaude()
        self._open: set[Connection] = set()
        self.server_context: ssl.SSLContext | None = None
        """What it shows its certificate by, where `tls` names a fault or `good`."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._thread: threading.Thread | None = None
        self._listening = threading.Event()

    # -- for tests ----------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/v1"

    @property
    def ca_file(self) -> Path:
        """The authority to trust; only where `tls` names a fault or `good`."""
        assert self._folder is not None, "this provider has no authority of its own"
        return Path(self._folder.name, "ca.pem")

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call so far, in order of arrival; at most the last 100,000."""
        return self._truth.calls()

    @property
    def connections_open(self) -> int:
        return len(self._open)

    def script(self, *scripts: str) -> None:
        """Say what happens to the next calls, one script each; after them models decide again.

        Raises:
            ValueError: a script that nobody understands.
        """
        for each in scripts:
            parse(each)
        self._queue.extend(scripts)

    def exactly(self, model: str, *replies: Exact) -> None:
        """Answer the calls of `model` with these very bytes, whatever else is planned: one reply after the
        other, and the last of them ever after."""
        self._exact[model] = deque(replies)

    def wait_ended(self, count: int = 1, timeout_s: float = 5.0) -> tuple[Call, ...]:
        """Wait until `count` calls have ended, then return all calls.

        Raises:
            TimeoutError: they had not ended in time.
        """
        if not self._truth.wait(count, timeout_s):
            raise TimeoutError(f"{count} calls had not ended after {timeout_s} s: {self.calls}")
        return self.calls

    def start(self) -> Self:
        self._thread = threading.Thread(target=self._run_thread, name="fault-provider", daemon=True)
        self._thread.start()
        if not self._listening.wait(START_S) or self.failures:
            self.close()
            raise RuntimeError("the fault provider did not start")
        return self

    def close(self) -> None:
        """Drop every connection and end the thread. Safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if thread.is_alive() and self._listening.is_set():
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(STOP_S)
        if self.failures:
            raise self.failures[0]
        if thread.is_alive():
            raise RuntimeError("the fault provider did not stop")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the loop -----------------------------------------------------------------------------------

    def _run_thread(self) -> None:
        try:
            asyncio.run(self.serve(asyncio.Event(), self._listening.set))
        except Exception as error:  # noqa: BLE001 - a thread has no caller: `start` and `close` raise it
            self.failures.append(error)
        finally:
            self._listening.set()

    async def serve(self, stop: asyncio.Event, announce: Callable[[], None]) -> None:
        """Listen, call `announce` once, and when `stop` is set drop every connection."""
        self._loop, self._stop = asyncio.get_running_loop(), stop
        context = self._context()
        try:
            server = await self._loop.create_server(
                lambda: Connection(self._handle, self._connected, self._disconnected),
                self.host,
                self.port,
                ssl=context,
                backlog=1024,
            )
            self.port = server.sockets[0].getsockname()[1]
            announce()
            await stop.wait()
            server.close()
            await asyncio.gather(*[each.closed() for each in self._open])
            await asyncio.sleep(0)  # let the transports close their sockets
        finally:
            self._truth.close()
            if self._folder is not None:
                self._folder.cleanup()

    def _context(self) -> ssl.SSLContext | None:
        if self.tls is None or isinstance(self.tls, ssl.SSLContext):
            return self.tls
        self._folder = tempfile.TemporaryDirectory(prefix="fault-provider-")
        context = certificate(self.ca_file, wrong=self.tls == "wrong-host", expired=self.tls == "expired")
        self.server_context = context
        return None if self.tls == "stalled" else context

    def _connected(self, connection: Connection) -> int:
        """Returns the ordinal of `connection`; 0 has it say nothing for ever."""
        self._open.add(connection)
        self.connections_opened += 1
        self.connections_peak = max(self.connections_peak, len(self._open))
        mute = self.tls == "stalled" or len(self._open) > CONNECTIONS_MAX
        return 0 if mute else self.connections_opened

    def _disconnected(self, connection: Connection, error: Exception | None) -> None:
        self._open.discard(connection)

    async def _handle(self, wire: Connection, request: Incoming) -> bool:
        call = self._truth.open_call()
        call.request_id = request.headers.get("x-request-id", "")
        call.path, _, call.query = request.path.partition("?")
        call.bytes_received = len(request.body)
        call.connection, call.connections = wire.number, len(self._open)
        call.body, call.headers = request.body, request.headers
        wire.call = call
        body = _decoded(request.body)
        if body is not None:
            call.model = str(body.get("model", ""))
            call.stream = body.get("stream") is True
        generated, conversed = model_of(call.path), converse.asked(call.path)
        if generated is not None:
            call.model, call.stream = unquote(generated[0]), generated[1]
        elif conversed is not None:
            call.model, call.stream = conversed[0], conversed[1].endswith("-stream")
        try:
            plan, refusal = self._plan(call, request)
            self._truth.start(call)
            dialect = self._dialect_of(request)
            reply = Reply(wire, call, plan, dialect)
            ready: bytes | None = None
            if PATHS.fullmatch(request.path):
                status, message, ready = _ready(self.desk.reply, request, plan)
            elif self.shelf.takes(request):
                status, message, ready = _ready(self.shelf.reply, request, plan)
            else:
                told = (request.refusal, "The request could not be read.") if request.refusal else None
                told = told or dialect.refused(request, body, plan)
                status, message = told or ((400, refusal) if refusal else (0, ""))
            given = self._exact.get(call.model)
            if given is not None:
                keep = await reply.exactly(given.popleft() if len(given) > 1 else given[0])
            elif status:
                keep = await reply.fail(status, None, message)
            else:
                keep = await reply.run(body or {}, ready=ready)
            call.finished = True
            return keep and not request.refusal and request.headers.get("connection", "").lower() != "close"
        except Exception as error:  # noqa: BLE001 - a bug of ours must not pass for a fault asked for
            self.failures.append(error)
            return False
        finally:
            self._truth.end(call)
            wire.call = None

    def _dialect_of(self, request: Incoming) -> Dialect:
        """As a host tells that serves all: by the path, and the list of models by the header."""
        if converse.is_asked(request.path.partition("?")[0]):
            return self._bedrock
        if rented.PATH.fullmatch(request.path.partition("?")[0]):
            return self._vertex_claude
        if request.path.startswith("/v1/responses"):
            return self._responses
        if request.path.startswith("/v1beta/") or model_of(request.path.partition("?")[0]):
            return self._gemini
        versioned = "anthropic-version" in request.headers and not request.path.startswith("/v1/chat/")
        return self._messages if versioned or request.path.startswith("/v1/messages") else self._chat

    def _plan(self, call: Call, request: Incoming) -> tuple[Plan, str]:
        """What to do, and why a script was refused, or an empty string."""
        asked = [script_of_model(call.model), request.headers.get("x-fault", "")]
        if self.on_call is not None:
            asked.append(self.on_call(call) or "")
        if self._queue:
            asked.append(self._queue.popleft())
        call.script = ",".join(filter(None, asked))
        try:
            plan = parse(*asked)
        except ValueError as error:
            return Plan(), str(error)
        if not self._chance.strikes(plan, call.script):
            plan = plan.as_good()
        call.struck = plan != plan.as_good()
        return plan, ""


def _ready(
    answer: Callable[[Incoming], bytes], request: Incoming, plan: Plan
) -> tuple[int, str, bytes | None]:
    """What the desk or the shelf says: a refusal, or an answer that is ready. What the plan has fail with a
    status is not done; what it cuts or delays is."""
    if plan.status != 200:
        return 0, "", None
    try:
        return 0, "", answer(request)
    except Refused as refused:
        return refused.status, str(refused), None


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


# -- as a process -----------------------------------------------------------------------------------


async def _main(provider: FaultProvider) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await provider.serve(stop, lambda: print(json.dumps({"base_url": provider.base_url}), flush=True))
    for failure in provider.failures:
        raise failure


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    given = parser.parse_args()
    context = None
    if given.tls_cert is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.tls_cert, given.tls_key)
    asyncio.run(_main(FaultProvider(port=given.port, tls=context, truth=given.truth, keep_bodies=False)))


if __name__ == "__main__":
    main()
