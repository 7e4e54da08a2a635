"""A server that answers as OpenAI's published specification says, and refuses what it does not allow."""

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.clients.openai_suite.published import OPERATIONS, SOUND, Operation
from tests.clients.openai_suite.shapes import Json, fault, fields, required, variants

ROOT: Final = "/v1"


class Invalid(Exception):
    """What was sent is not what the specification says."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Mock:
    """What it was asked, and where it is."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}{ROOT}"
        self.bodies: defaultdict[str, list[dict[str, Json]]] = defaultdict(list)
        """What was sent in each request, by `METHOD path`."""
        self.refused: list[str] = []
        """What was wrong with those that it refused."""


@contextmanager
def mock() -> Iterator[Mock]:
    """One that listens on a free port of loopback for the time of a `with`."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.mock = found = Mock(server.server_port)
        thread = threading.Thread(target=server.serve_forever, name="mock", daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    mock: Mock

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that leave in the middle are no fault."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def _answer(self) -> None:
        where = urlsplit(self.path)
        assert isinstance(self.server, Server)
        here = self.server.mock
        body = self._body()
        try:
            if not self.headers.get("authorization", "").startswith("Bearer "):
                raise Invalid("no key", 401)
            operation, parts = self._operation(where.path)
            sent = self._sent(body, where.query)
            here.bodies[f"{self.command} {where.path}"].append(sent)
            self._check(operation, sent)
        except Invalid as error:
            here.refused.append(f"{self.command} {where.path}: {error}")
            said = {"message": str(error), "type": "invalid_request_error", "param": None, "code": None}
            self._whole(error.status, {"error": said})
            return
        if operation.streams is not None and sent.get("stream") in (True, "true"):
            self._stream(operation, sent)
            return
        answer = operation.answer(sent)
        if isinstance(answer, dict) and "id" in parts:
            answer["id"] = unquote(parts["id"])
        self._whole(200, answer)

    def _operation(self, path: str) -> tuple[Operation, dict[str, str]]:
        for operation in OPERATIONS:
            parts = operation.place(path.removeprefix(ROOT)) if path.startswith(ROOT) else None
            if parts is not None and operation.method == self.command:
                return operation, parts
        raise Invalid(f"there is no {self.command} {path}", 404)

    # -- what is sent ------------------------------------------------------------------------------------

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(parts)

    def _sent(self, body: bytes, query: str) -> dict[str, Json]:
        if self.command != "POST":
            return dict(parse_qsl(query, keep_blank_values=True))
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            return dict(form(kind, body))
        try:
            sent = json.loads(body) if body else {}
        except ValueError as error:
            raise Invalid(f"the body is no JSON: {error}") from error
        if not isinstance(sent, dict):
            raise Invalid("the body is no object")
        return sent

    def _check(self, operation: Operation, sent: dict[str, Json]) -> None:
        if operation.takes is None:
            if sent:
                raise Invalid(f"nothing is taken here, but {sorted(sent)} was sent")
        elif self.command == "POST" and "json" in self.headers.get("content-type", ""):
            found = fault(operation.takes, sent)
            if found:
                raise Invalid(found)
        else:
            _check_names(operation, {name.partition("[")[0] for name in sent})

    # -- what is answered --------------------------------------------------------------------------------

    def _whole(self, status: int, answer: Json | bytes) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "audio/wav" if answer is SOUND else "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-request-id", "req_of_the_mock")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, operation: Operation, sent: dict[str, Json]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        assert operation.streams is not None
        try:
            for event in operation.streams(sent):
                name = f"event: {event['type']}\n" if "type" in event else ""
                self._chunk(f"{name}data: {json.dumps(event)}\n\n".encode())
            if operation.done:
                self._chunk(b"data: [DONE]\n\n")
            self._chunk(b"")
        except ConnectionError:  # many tests leave a stream that they have begun
            self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))


def _check_names(operation: Operation, names: set[str]) -> None:
    """Of what comes as text alone: forms and queries."""
    faults = []
    for kind in variants(operation.takes):
        missing, unknown = required(kind) - names, names - fields(kind).keys()
        if not missing and not unknown:
            return
        faults.append(f"missing {sorted(missing)}, unknown {sorted(unknown)}")
    raise Invalid("; ".join(faults))


def form(kind: str, body: bytes) -> Iterator[tuple[str, str]]:
    """The fields of a form, the contents of files left out."""
    message = BytesParser(policy=HTTP).parsebytes(f"content-type: {kind}\r\n\r\n".encode() + body)
    for part in message.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        content = part.get_payload(decode=True)
        if part.get_filename() or not isinstance(content, bytes):
            yield name, ""
        else:
            yield name, content.decode().strip()
