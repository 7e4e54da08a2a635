"""Answers read from a plain socket."""

import socket
from typing import IO

from tests.e2e.gateway import Reply


def answer(client: socket.socket, *, bodiless: bool = False) -> Reply:
    """Read one answer. `bodiless`: it answers a HEAD."""
    with client.makefile("rb") as file:
        return _one(file, bodiless)


def answers(client: socket.socket, count: int) -> list[Reply]:
    """Read so many answers, which may come in one piece."""
    with client.makefile("rb") as file:
        return [_one(file, False) for _ in range(count)]


def closed(client: socket.socket) -> bool:
    """Whether nothing more comes."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def _one(file: IO[bytes], bodiless: bool) -> Reply:
    line = file.readline()
    assert line.startswith(b"HTTP/1.1 "), line
    headers: dict[str, str] = {}
    while (head := file.readline()) not in (b"\r\n", b""):
        name, _, value = head.decode("latin-1").partition(":")
        named = headers.get(name.lower())
        headers[name.lower()] = value.strip() if named is None else f"{named}, {value.strip()}"
    body = b""
    if bodiless or line.split()[1] == b"204":
        pass
    elif "content-length" in headers:
        body = file.read(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while (size := int(file.readline(), 16)) > 0:
            body += file.read(size)
            file.read(2)
        file.readline()
    else:
        body = file.read()
    return Reply(int(line.split()[1]), headers, body)
