"""Two simulated models behind OpenAI-shaped servers. `python -m farthing.demo.upstream`

Prints one line of JSON with the ports it listens on, serves until its standard input closes, and then
prints one line with the calls and tokens it counted: the bill that the ledger is checked against.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from hashlib import blake2b
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from farthing.demo import words

HEAD_BYTES_MAX = 65_536
TTFT_SIGMA = 0.25  # of the logarithm: P99 is 1.8 times the median
SPEED_SIGMA = 0.10


class Tier(Struct, frozen=True, kw_only=True):
    """A simulated model. Prices in US dollars per million tokens, as small and large models have them."""

    model: str
    ttft_ms: float
    """Median time to the first token."""
    tokens_per_s: float
    """Median speed of the tokens after it."""
    input_usd: str
    output_usd: str


TIERS = {
    "cheap": Tier(model="small", ttft_ms=120, tokens_per_s=150, input_usd="0.25", output_usd="2.00"),
    "expensive": Tier(model="large", ttft_ms=450, tokens_per_s=60, input_usd="1.25", output_usd="10.00"),
}


class Bill(Struct):
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Simulated:
    """One model on one port."""

    def __init__(self, tier: Tier) -> None:
        self.bill = Bill()
        self._tier = tier
        self._ids = count(1)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other, until it closes."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_length(head))
                if head.startswith(b"POST ") and b"/chat/completions" in head.split(b"\r\n", 1)[0]:
                    await self._chat(msgspec.json.decode(body), body, writer)
                else:
                    _write_json(writer, {"object": "list", "data": [{"id": self._tier.model}]})
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the gateway closed it
        finally:
            writer.close()

    async def _chat(self, asked: dict[str, Any], raw: bytes, writer: asyncio.StreamWriter) -> None:
        text = words.answer(_question(asked["messages"]))
        input_tokens = sum(words.tokens_of(str(message["content"])) for message in asked["messages"])
        output_tokens = words.tokens_of(text)
        self.bill.calls += 1
        self.bill.input_tokens += input_tokens
        self.bill.output_tokens += output_tokens
        usage = {
            "prompt_tokens": input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": input_tokens + output_tokens,
        }
        draw = random.Random(blake2b(raw, digest_size=8).digest())
        pace = _pace(self._tier, words.pieces(text), draw)
        common = {"id": f"chatcmpl-simulated-{next(self._ids)}", "created": 0, "model": self._tier.model}
        if asked.get("stream"):
            await _stream(writer, common, pace, usage)
            return
        parts = [piece async for piece in pace]
        message = {"role": "assistant", "content": "".join(parts)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        _write_json(writer, {**common, "object": "chat.completion", "choices": [choice], "usage": usage})


async def _pace(tier: Tier, pieces: list[str], draw: random.Random) -> AsyncIterator[str]:
    """Each piece when a model of this tier would have said it, late ones at once."""
    loop = asyncio.get_running_loop()
    due_s = loop.time() + draw.lognormvariate(0, TTFT_SIGMA) * tier.ttft_ms / 1000
    per_token_s = draw.lognormvariate(0, SPEED_SIGMA) / tier.tokens_per_s
    for piece in pieces:
        await asyncio.sleep(due_s - loop.time())
        yield piece
        due_s += len(piece) / 4 * per_token_s


async def _stream(
    writer: asyncio.StreamWriter, common: dict[str, Any], pace: AsyncIterator[str], usage: dict[str, int]
) -> None:
    common = {**common, "object": "chat.completion.chunk"}
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    role = {"role": "assistant"}
    async for piece in pace:
        choice = {"index": 0, "delta": {**role, "content": piece}, "finish_reason": None}
        _put(writer, head + _event({**common, "choices": [choice]}))
        head, role = b"", {}
        await writer.drain()
    ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
    last = _event({**common, "choices": [ended]}) + _event({**common, "choices": [], "usage": usage})
    _put(writer, last + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _put(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Raises:
    ConnectionResetError: the gateway has gone; uvloop would raise a RuntimeError.
    """
    if writer.is_closing():
        raise ConnectionResetError("the gateway closed the connection")
    writer.write(data)


def _event(payload: dict[str, Any]) -> bytes:
    return _chunk(b"data: %b\n\n" % msgspec.json.encode(payload))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _write_json(writer: asyncio.StreamWriter, payload: dict[str, Any]) -> None:
    body = msgspec.json.encode(payload)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    _put(writer, head + body)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _question(messages: list[dict[str, Any]]) -> str:
    return next((str(m["content"]) for m in reversed(messages) if m.get("role") == "user"), "")


async def serve() -> None:
    """Serve both tiers on ports of the loopback address until standard input closes."""
    models = {name: Simulated(tier) for name, tier in TIERS.items()}
    servers = {
        name: await asyncio.start_server(model.serve, "127.0.0.1", 0, limit=HEAD_BYTES_MAX, backlog=512)
        for name, model in models.items()
    }
    ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
    print(msgspec.json.encode(ports).decode(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    print(msgspec.json.encode({name: model.bill for name, model in models.items()}).decode(), flush=True)


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
