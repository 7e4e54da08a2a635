"""An HTTP proxy that can misbehave: CONNECT and whole URLs, credentials, refusals, nonsense."""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping

from tests.faults.canned import Canned, read_request

PIECE_BYTES = 65_536


class FaultProxy(Canned):
    """Every host is found at a port of 127.0.0.1: that of `ports`, else the port that was asked for.

    `say` replaces the reply to CONNECT, `after` is sent right behind it; `silent` never replies;
    `authorization` is what it wants in `proxy-authorization`, else it answers 407.
    """

    def __init__(
        self,
        *,
        ports: Mapping[str, int] | None = None,
        tls: ssl.SSLContext | None = None,
        say: bytes | None = None,
        after: bytes = b"",
        slowly: bool = False,
        silent: bool = False,
        authorization: str = "",
    ) -> None:
        super().__init__(lambda asked: None, tls=tls)
        self._ports = ports or {}
        self._say, self._after, self._slowly, self._silent = say, after, slowly, silent
        self._authorization = authorization

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def serve(self, client: socket.socket, number: int) -> None:
        while (asked := read_request(client, number)) is not None:
            self.asked.append(asked)
            if self._silent:
                client.recv(1)  # until it leaves
                return
            if self._authorization and asked.headers.get("proxy-authorization") != self._authorization:
                body = b"<html>who are you?</html>"
                client.sendall(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=x\r\n"
                    b"content-length: %d\r\n\r\n%b" % (len(body), body)
                )
                continue
            if asked.line.startswith("CONNECT "):
                self._tunnel(client, asked.target)
                return
            self._forward(client, asked.line, asked.fields, asked.body)

    def _dial(self, host: str, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._ports.get(host, port)), timeout=30.0)

    def _tunnel(self, client: socket.socket, place: str) -> None:
        host, _, port = place.rpartition(":")
        said = self._say or b"HTTP/1.1 200 Connection established\r\nvia: a-proxy\r\n\r\n"
        for index in range(len(said) if self._slowly else 0):
            client.sendall(said[index : index + 1])
            time.sleep(0.001)
        client.sendall((b"" if self._slowly else said) + self._after)
        if b" 200" not in said[:14]:
            return
        with self._dial(host.strip("[]"), int(port)) as origin:
            back = threading.Thread(target=_pour, args=(origin, client), daemon=True)
            back.start()
            _pour(client, origin)
            back.join(30.0)

    def _forward(self, client: socket.socket, line: str, fields: list[tuple[str, str]], body: bytes) -> None:
        """As a proxy does for plain HTTP: the request without what was for it, to the host of the URL."""
        method, url, version = line.split(" ")
        place, slash, path = url.removeprefix("http://").partition("/")
        host, _, port = (place if ":" in place else f"{place}:80").rpartition(":")
        kept = [f"{name}: {value}" for name, value in fields if not name.startswith("proxy-")]
        head = "\r\n".join([f"{method} {slash}{path} {version}", *kept, "connection: close", "", ""])
        with self._dial(host.strip("[]"), int(port)) as origin:
            origin.sendall(head.encode("latin-1") + body)
            _pour(origin, client)
        client.shutdown(socket.SHUT_RDWR)


def _pour(source: socket.socket, sink: socket.socket) -> None:
    """Send on everything from `source` until it ends."""
    try:
        while True:
            if not (isinstance(source, ssl.SSLSocket) and source.pending()):
                select.select([source], [], [], 5.0)
            piece = source.recv(PIECE_BYTES)
            if not piece:
                break
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # one of them is gone: the other is told, and so is who pours the other way
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
