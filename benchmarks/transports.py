"""What an upstream call costs: Farthing's own client beside aiohttp, plain and over TLS, whole and streamed.

    python -m benchmarks.transports [--seconds 2] [--rounds 3] [--out benchmarks/results/transports.json]

A provider in a process of its own (uvloop, on the other core where there are two) answers a canned chat
completion or a stream of 51 events; the client keeps 64 calls under way. CPU is that of the client's
process alone, so the figure is the client's cost and its kernel work. Prints JSON; medians of the rounds.
aiohttp is no dependency: its rows are left out, and said to be, where it is not installed.
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import trustme
import uvloop

from benchmarks.machine import machine
from farthing.dialects.chat.streams.event_reader import EventReader
from farthing.errors import ProviderUnavailable
from farthing.models.stream import Stream, Within
from farthing.models.transport.http1 import Http1Transport
from farthing.models.transport.origin import HttpOrigin
from farthing.runtime.loop_batch import LoopBatch

IN_FLIGHT = 64
BODY = json.dumps(
    {"model": "m", "messages": [{"role": "user", "content": "What is a farthing? " * 45}]}
).encode()
STREAM_BODY = BODY[:-1] + b', "stream": true}'
ANSWER = json.dumps({"choices": [{"message": {"content": "A quarter of an old penny. " * 18}}]}).encode()
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]}%b\n\n' % (
    b" " * 120
)

Call = Callable[[bool], Awaitable[None]]


def framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Provider(asyncio.Protocol):
    """Answers each request when its body is whole; one write for each event of a stream."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            if b'"stream": true' in body:
                self.transport.write(HEAD)
                self.event(50)
            else:
                self.transport.write(WHOLE)

    def event(self, left: int) -> None:
        if left:
            self.transport.write(framed(EVENT))
            asyncio.get_running_loop().call_soon(self.event, left - 1)
        else:
            self.transport.write(framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def provide(pipe: Connection, certificate: str | None) -> None:
    """The provider's process."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})

    async def main() -> None:
        context = None
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
        server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, ssl=context)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


def own(port: int, ca: Path | None) -> tuple[Call, Callable[[], Awaitable[None]]]:
    loop = asyncio.get_running_loop()
    transport = Http1Transport(loop, LoopBatch(loop))
    origin = HttpOrigin(
        "provider", "127.0.0.1" if ca is None else "localhost", port, tls=ca is not None, ca_file=ca
    )
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"

    within = Within(
        first_s=math.inf,
        whole_s=math.inf,
        idle_s=math.inf,
        end_s=math.inf,
        deadline_s=None,
        bytes_max=1 << 30,
    )

    async def call(stream: bool) -> None:
        body = STREAM_BODY if stream else BODY
        exchange = await transport.send(origin, head, body, first_byte_s=10.0, whole=not stream)
        if not stream:
            await exchange.read(1 << 20)
            return
        events = Stream(
            exchange,
            within,
            EventReader(1 << 20),
            choices=1,
            keep_bytes_max=0,
            output_chunks_max=None,
            in_answer=lambda body: ProviderUnavailable(body.decode()),
        )
        await events.open()
        await events.gather()
        events.take_held()

    return call, transport.aclose


def with_aiohttp(port: int, ca: Path | None) -> tuple[Call, Callable[[], Awaitable[None]]]:
    import aiohttp

    context: ssl.SSLContext | bool = True if ca is None else ssl.create_default_context(cafile=str(ca))
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=512, ssl=context))
    url = f"{'http' if ca is None else 'https'}://localhost:{port}/v1/chat/completions"
    headers = {"content-type": "application/json"}

    async def call(stream: bool) -> None:
        async with session.post(url, data=STREAM_BODY if stream else BODY, headers=headers) as reply:
            if not stream:
                await reply.read()
                return
            async for _ in reply.content.iter_any():
                pass

    return call, session.close


async def measure(call: Call, stream: bool, seconds: float) -> float:
    """CPU microseconds of this process for one call."""
    done = 0

    async def worker() -> None:
        nonlocal done
        while time.monotonic() < until_s:
            await call(stream)
            done += 1

    await asyncio.gather(*(call(stream) for _ in range(IN_FLIGHT)))
    until_s = time.monotonic() + seconds
    began_s = time.process_time()
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return (time.process_time() - began_s) / done * 1e6


async def measured(client: Any, port: int, ca: Path | None, stream: bool, seconds: float) -> float:
    """`measure` with a client made for it."""
    call, close = client(port, ca)
    try:
        return await measure(call, stream, seconds)
    finally:
        await close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    clients: dict[str, Any] = {"farthing": own}
    try:
        import aiohttp

        clients[f"aiohttp {aiohttp.__version__}"] = with_aiohttp
    except ImportError:
        print("aiohttp is not installed: its rows are left out")
    with tempfile.TemporaryDirectory() as folder:
        authority = trustme.CA()
        ca, certificate = Path(folder) / "ca.pem", Path(folder) / "server.pem"
        authority.cert_pem.write_to_path(str(ca))
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        figures: dict[str, list[float]] = {}
        for tls in (False, True):
            ours, theirs = multiprocessing.Pipe()
            provider = multiprocessing.get_context("spawn").Process(
                target=provide, args=(theirs, str(certificate) if tls else None), daemon=True
            )
            provider.start()
            port = ours.recv()
            if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(0, {0})
            for _ in range(asked.rounds):
                for name, client in clients.items():
                    for stream in (False, True):
                        kind = "stream of 51 events" if stream else "whole"
                        row = f"{name}, {'TLS' if tls else 'plain'}, {kind}"
                        one = measured(client, port, ca if tls else None, stream, asked.seconds)
                        figures.setdefault(row, []).append(uvloop.run(one))
            provider.terminate()
            provider.join()
    result = {
        "machine": machine(),
        "cpu_us_per_call": {row: round(statistics.median(values), 1) for row, values in figures.items()},
    }
    text = json.dumps(result, indent=1)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
