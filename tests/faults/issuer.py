"""Issuers of credentials and a provider that takes only what they issued, on one port and one clock."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct
from tests.faults.exact import whole_of


class Asked(Struct, frozen=True):
    """One call of it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


Answers = Callable[[Asked], tuple[int, bytes]]


class Issuer:
    """Listens from `__enter__` to `__exit__`. `answers` says what a path answers, the first that begins so;
    all other paths are the provider's, which answers chats that bring a token of `valid`, else 401."""

    def __init__(self) -> None:
        self.answers: dict[str, Answers] = {}
        self.asked: list[Asked] = []
        self.offset_s = 0.0
        """What its clock differs by from that of this machine."""
        self.dated = True
        self.valid: dict[str, float] = {}
        """Tokens, and until when by the monotonic clock they are taken."""
        self.issued = 0
        self.refused = 0
        self.lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> "Issuer":
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(
                    self.command, parts.path, dict(parse_qsl(parts.query)), headers, self.rfile.read(length)
                )
                status, body = issuer.answer(asked)
                self.send_response_only(status)
                if issuer.dated:
                    self.send_header("date", formatdate(issuer.now_unix_s(), usegmt=True))
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def root(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}"

    def now_unix_s(self) -> float:
        return time.time() + self.offset_s

    def answer(self, asked: Asked) -> tuple[int, bytes]:
        with self.lock:
            self.asked.append(asked)
            for path, answers in self.answers.items():
                if asked.path.startswith(path):
                    return answers(asked)
            return self._chat(asked)

    def calls(self, path: str) -> list[Asked]:
        return [one for one in self.asked if one.path.startswith(path)]

    def token(self, life_s: float) -> str:
        """A new one, which the provider takes for so long."""
        self.issued += 1
        name = f"token-{self.issued:04d}-of-the-issuer-0123456789"
        self.valid[name] = time.monotonic() + life_s
        return name

    def oauth(self, life_s: float, **more: Any) -> Answers:
        """Answers with a new token each time."""
        return lambda _: (200, said(access_token=self.token(life_s), expires_in=life_s, **more))

    def _chat(self, asked: Asked) -> tuple[int, bytes]:
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if self.valid.get(token, 0.0) < time.monotonic():
            self.refused += 1
            return 401, said(error={"message": f"no such token: {token}", "code": "401"})
        return 200, json.dumps(whole_of("a farthing")).encode()


def said(**values: Any) -> bytes:
    return json.dumps(values).encode()


def fails(status: int, **values: Any) -> Answers:
    return lambda _: (status, said(**values))


def environment(**values: str) -> Mapping[str, str]:
    return values
