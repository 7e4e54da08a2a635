"""A plain HTTP client that asks the gateway as an application would, and checks what comes back."""

import asyncio
import time
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

PATH = "/v1/chat/completions"
ANSWER_S = 60.0  # the slowest simulated answer takes some 8 s
HEAD_BYTES_MAX = 65_536


class Reply(Struct, frozen=True, kw_only=True):
    """What one request came to."""

    request_id: str
    tier: str
    cache: str
    text: str
    took_ms: float
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    fault: str | None = None
    """What was wrong with it; None when nothing was."""
    wrong_hit: bool = False
    """The semantic cache answered, with the answer to a question of another intent."""


class WrongAnswer(Exception):
    """An answer that is not what OpenAI's interface promises."""


class Money(Struct, frozen=True):
    """What a streamed answer cost, as its last chunk says; None where that is not said."""

    cost_usd: str | None = None
    saved_usd: str | None = None


class _Usage(Struct):
    prompt_tokens: int
    completion_tokens: int


class _Message(Struct):
    content: str


class _Choice(Struct):
    message: _Message
    finish_reason: str


class _Completion(Struct):
    object: Literal["chat.completion"]
    choices: Annotated[list[_Choice], Meta(min_length=1)]
    usage: _Usage


class _Delta(Struct):
    content: str | None = None


class _Piece(Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(Struct):
    object: Literal["chat.completion.chunk"]
    choices: list[_Piece]
    usage: _Usage | None = None
    farthing: Money | None = None


FAULTS = (
    OSError,
    EOFError,
    TimeoutError,
    ValueError,
    asyncio.LimitOverrunError,
    msgspec.MsgspecError,
    WrongAnswer,
)
"""What a broken connection, an answer that is no HTTP, or one of the wrong form raises."""


class Client:
    """Keeps connections open between requests. Not for more than one event loop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, body: bytes, *, key: str, stream: bool) -> Reply:
        """Send `body`; the reply says what went wrong, if anything did."""
        began_s = time.monotonic()
        head: dict[str, str] = {}
        try:
            async with asyncio.timeout(ANSWER_S):
                text, money = await self._exchange(body, key, stream, head)
            fault = None
        except FAULTS as error:
            text, money, fault = "", Money(), f"{type(error).__name__}: {error}"
        return Reply(
            request_id=head.get("x-request-id", ""),
            tier=head.get("x-farthing-tier", ""),
            cache=head.get("x-farthing-cache", ""),
            text=text,
            took_ms=(time.monotonic() - began_s) * 1000,
            cost_usd=_number(money.cost_usd or head.get("x-farthing-cost-usd")),
            saved_usd=_number(money.saved_usd or head.get("x-farthing-saved-usd")),
            fault=fault,
        )

    def close(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _exchange(self, body: bytes, key: str, stream: bool, head: dict[str, str]) -> tuple[str, Money]:
        reader, writer = await self._connection()
        whole = False
        try:
            writer.write(
                f"POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\nauthorization: Bearer {key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
                + body
            )
            status = await _read_head(reader, head)
            content = await _read_body(reader, head)
            whole = head.get("connection") != "close"
        finally:
            if whole:
                self._idle.append((reader, writer))
            else:
                writer.close()
        if status != 200:
            raise WrongAnswer(f"HTTP {status}: {content[:200].decode('utf-8', 'replace')}")
        return _streamed(content) if stream else _whole(content)

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
        return await asyncio.open_connection("127.0.0.1", self._port, limit=HEAD_BYTES_MAX)


async def _read_head(reader: asyncio.StreamReader, head: dict[str, str]) -> int:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        head[name.lower()] = value.strip()
    version, _, rest = lines[0].partition(" ")
    if version != "HTTP/1.1":
        raise WrongAnswer(f"no HTTP: {lines[0][:80]!r}")
    return int(rest[:3])


async def _read_body(reader: asyncio.StreamReader, head: dict[str, str]) -> bytes:
    if head.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(head.get("content-length", "0")))
    chunks = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    await reader.readuntil(b"\r\n")
    return b"".join(chunks)


def _whole(content: bytes) -> tuple[str, Money]:
    answer = msgspec.json.decode(content, type=_Completion)
    choice = answer.choices[0]
    _check_end(choice.finish_reason, answer.usage)
    return choice.message.content, Money()


def _streamed(content: bytes) -> tuple[str, Money]:
    events = [line[6:] for line in content.split(b"\n") if line.startswith(b"data: ")]
    if not events or events.pop() != b"[DONE]":
        raise WrongAnswer("the stream does not end with [DONE]")
    parts: list[str] = []
    finish: str | None = None
    usage: _Usage | None = None
    money = Money()
    for event in events:
        chunk = msgspec.json.decode(event, type=_Chunk)
        for choice in chunk.choices:
            parts.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
        money = chunk.farthing or money
    _check_end(finish, usage)
    return "".join(parts), money


def _check_end(finish: str | None, usage: "_Usage | None") -> None:
    if finish != "stop":
        raise WrongAnswer(f"finish_reason is {finish!r}")
    if usage is None or usage.prompt_tokens < 1 or usage.completion_tokens < 1:
        raise WrongAnswer(f"usage is {usage!r}")


def _number(text: str | None) -> float:
    """Dollars for the progress line; what is unknown counts as nothing there, the report says so."""
    return 0.0 if text is None or text == "unknown" else float(text)
