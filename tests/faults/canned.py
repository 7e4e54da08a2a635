"""A server on 127.0.0.1 that says exactly the bytes it is told to, and keeps what it was asked."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

HEAD_BYTES_MAX = 65_536
LIMIT_S = 10.0


class Asked:
    """One request as it came."""

    def __init__(self, head: bytes, body: bytes, connection: int) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.line = lines[0]
        pairs = [line.partition(":") for line in lines[1:] if line]
        self.fields = [(name.lower(), value.strip()) for name, _, value in pairs]
        self.headers = dict(self.fields)
        self.body = body
        self.connection = connection

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


class Canned:
    """`reply` gives the whole reply to a request, head included; None closes the connection."""

    def __init__(self, reply: Callable[[Asked], bytes | None], *, tls: ssl.SSLContext | None = None) -> None:
        self._reply = reply
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.asked: list[Asked] = []
        self.connections = 0
        self._open: set[socket.socket] = set()

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    @property
    def open(self) -> int:
        """Connections that are open."""
        return len(self._open)

    def __enter__(self) -> Self:
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for each in tuple(self._open):
            _shut(each)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._guarded, args=(client, self.connections), daemon=True).start()

    def _guarded(self, client: socket.socket, number: int) -> None:
        try:
            client.settimeout(LIMIT_S)
            self._open.add(client)
            if self._tls is not None:
                self._open.discard(client)
                client = self._tls.wrap_socket(client, server_side=True)
                self._open.add(client)
            self.serve(client, number)
        except OSError:
            return  # the client left, or was not believed
        finally:
            self._open.discard(client)
            _shut(client)

    def serve(self, client: socket.socket, number: int) -> None:
        while (asked := read_request(client, number)) is not None:
            self.asked.append(asked)
            reply = self._reply(asked)
            if reply is None:
                return
            client.sendall(reply)


def read_request(client: socket.socket, number: int = 0) -> Asked | None:
    """The next request; None: there is none."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65_536)
        if not more or len(data) > HEAD_BYTES_MAX:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    asked = Asked(head, b"", number)
    length = int(asked.headers.get("content-length", "0"))
    while len(body) < length:
        more = client.recv(65_536)
        if not more:
            return None
        body += more
    asked.body = body
    return asked


def http(status: int, body: bytes, *lines: str, kind: str = "application/json") -> bytes:
    """A reply of that status with its length."""
    head = [f"HTTP/1.1 {status} Status", f"content-type: {kind}", *lines, f"content-length: {len(body)}"]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def _shut(client: socket.socket) -> None:
    with suppress(OSError):  # it is shut already
        client.shutdown(socket.SHUT_RDWR)
    client.close()
