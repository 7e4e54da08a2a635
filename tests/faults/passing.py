"""A provider of OpenAI's operations beside chat: it remembers what came, byte for byte, and answers by path.

with PassingProvider() as provider:
    provider.answers["/v1/rerank"] = Told(b'{"results": []}')
"""

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream; charset=utf-8"
AUDIO: Final = bytes(range(256)) * 512


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """One reply. Several `pieces` come chunked; `cut`: the connection ends before the last chunk does."""

    body: bytes = b""
    kind: str = JSON
    status: int = 200
    pieces: tuple[bytes, ...] = ()
    cut: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    pause_s: float = 0.0
    """After each piece."""


@dataclasses.dataclass(frozen=True, slots=True)
class Came:
    """One request as it came. `path` holds the query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def said(value: Any, **more: Any) -> Told:
    return Told(json.dumps(value).encode(), **more)


def events(*values: Any) -> Told:
    """Named events as OpenAI sends them."""
    lines = [f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode() for value in values]
    return Told(kind=EVENTS, pieces=tuple(lines))


class PassingProvider:
    """Listens from `__enter__` to `__exit__` on 127.0.0.1. `answers` are by path, without a query; one that
    is called says what to answer this request."""

    def __init__(self) -> None:
        self.answers: dict[str, Told | Callable[[Came], Told]] = {}
        self.came: list[Came] = []
        self._server: ThreadingHTTPServer | None = None

    @property
    def base_url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                names = {name.lower(): value for name, value in self.headers.items()}
                came = Came(self.command, self.path, names, body)
                provider.came.append(came)
                told = provider.answers.get(self.path.partition("?")[0])
                self._tell(
                    said({"error": {"message": "no such path"}}, status=404) if told is None else told, came
                )

            do_GET = do_DELETE = do_POST

            def _tell(self, told: Told | Callable[[Came], Told], came: Came) -> None:
                told = told if isinstance(told, Told) else told(came)
                self.send_response(told.status)
                self.send_header("content-type", told.kind)
                for name, value in told.headers:
                    self.send_header(name, value)
                if not told.pieces:
                    self.send_header("content-length", str(len(told.body)))
                    self.end_headers()
                    self.wfile.write(told.body)
                    return
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                for piece in told.pieces:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    self.wfile.flush()
                    time.sleep(told.pause_s)
                if told.cut:
                    self.close_connection = True
                else:
                    self.wfile.write(b"0\r\n\r\n")

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Whoever asked has left."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
