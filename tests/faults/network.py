"""Faults below HTTP: a port that refuses, a port that swallows connects, certificates good and bad."""

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import trustme


@contextmanager
def closed_port() -> Iterator[int]:
    """U1: a port of 127.0.0.1 that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@contextmanager
def black_hole() -> Iterator[int]:
    """U2: a port of 127.0.0.1 on which a connect is neither accepted nor refused.

    The backlog of a listener that never accepts is filled; Linux then drops further SYNs.
    """
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            started = filler.connect_ex(listener.getsockname())
            assert started in (0, errno.EINPROGRESS), errno.errorcode[started]
        yield int(listener.getsockname()[1])


def certificate(ca_file: Path, *, wrong: bool = False, expired: bool = False) -> ssl.SSLContext:
    """A server's context for 127.0.0.1 and localhost; the authority to trust is written to `ca_file`.

    `wrong` names another host; `expired` ended years ago.
    """
    authority = trustme.CA()
    authority.cert_pem.write_to_path(ca_file)
    hosts = ("elsewhere.test",) if wrong else ("127.0.0.1", "localhost")
    issued = authority.issue_cert(
        *hosts,
        not_before=datetime(2020, 1, 1, tzinfo=UTC) if expired else None,
        not_after=datetime(2020, 2, 1, tzinfo=UTC) if expired else None,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    return context
