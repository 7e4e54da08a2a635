"""The same bytes on two roads: what the official client reads from a provider, and what through the gateway.

A `Row` says what a provider sends and what is right to make of it. `travel` has the official client read each
row directly and through one gateway, many at a time, and adds the receipt the gateway left.
"""

import asyncio
import dataclasses
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final
from zlib import crc32

from openai import AsyncOpenAI
from tests.e2e.gateway import Running
from tests.faults.exact import Exact
from tests.faults.provider import FaultProvider

from farthing.types import Receipt

Job = Callable[[], Awaitable[Any]]
AT_ONCE: Final = 12
PATIENCE_S: Final = 30.0
LITTLE_PATIENCE_S: Final = 1.0  # with a provider that never ends
RIGHT: Final = 20_000  # nano-dollars of 10 tokens in at 1 $ and 5 out at 2 $ a million
REASONING: Final = ("reasoning_content", "reasoning", "thinking")
HELLO: Final[list[Any]] = [{"role": "user", "content": "hello there"}]


@dataclasses.dataclass(slots=True)
class Read:
    """What the official client made of one answer."""

    stream: bool = True
    error: BaseException | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    status: int = 0
    chunks: list[str] = dataclasses.field(default_factory=list)
    """The JSON of every chunk that has a choice, or of the whole answer."""
    usage_chunks: list[Any] = dataclasses.field(default_factory=list)
    """Those without a choice that hold a usage, as dicts."""
    empty: int = 0
    """Chunks that are nothing at all (`null`), on which `chunk.choices` fails."""
    texts: dict[Any, str] = dataclasses.field(default_factory=dict)
    reasoning: str = ""
    refusal: str = ""
    tools: dict[Any, list[str]] = dataclasses.field(default_factory=dict)
    """Name and arguments of each call, by its index."""
    finishes: dict[Any, Any] = dataclasses.field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.texts.get(0, "")

    @property
    def finish(self) -> Any:
        return self.finishes.get(0)

    @property
    def request_id(self) -> str:
        response = getattr(self.error, "response", None)
        headers = self.headers if response is None else response.headers
        return str(headers.get("x-request-id", ""))

    @property
    def said(self) -> dict[str, Any]:
        """All of it but how it ended, to be compared."""
        return {
            "texts": {index: text for index, text in self.texts.items() if text},
            "reasoning": self.reasoning,
            "refusal": self.refusal,
            "tools": self.tools,
            "finishes": self.finishes,
        }

    def take(self, part: Any) -> None:
        """Add a chunk or a whole answer, whatever it is."""
        value = part.to_dict(mode="python", warnings=False) if hasattr(part, "to_dict") else part
        if value is None:
            self.empty += 1
            return
        if not isinstance(value, dict):
            self.chunks.append(repr(value))
            return
        choices = value.get("choices")
        if not choices:
            if "usage" in value and value["usage"] is not None:
                self.usage_chunks.append(value)
            return
        self.chunks.append(json.dumps(value, sort_keys=True))
        for choice in choices:
            self._choice(choice)

    def _choice(self, choice: Any) -> None:
        index = choice.get("index", 0) or 0
        said = choice.get("delta" if self.stream else "message") or {}
        content = said.get("content")
        if content:
            words = content if isinstance(content, str) else json.dumps(content)
            self.texts[index] = self.texts.get(index, "") + words
        self.reasoning += next((said[name] for name in REASONING if said.get(name)), "")
        self.refusal += said.get("refusal") or ""
        for place, call in enumerate(said.get("tool_calls") or ()):
            known = self.tools.setdefault(call.get("index", place), ["", ""])
            function = call.get("function") or {}
            known[0] += function.get("name") or ""
            arguments = function.get("arguments") or ""
            known[1] += arguments if isinstance(arguments, str) else json.dumps(arguments)
        if choice.get("finish_reason") is not None:
            self.finishes[index] = choice["finish_reason"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a provider sends, and what is right to make of it. By default a good answer that says `hello`."""

    reply: Exact
    text: str = "hello"
    finish: Any = "stop"
    said: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What else it says: `reasoning`, `refusal`, `tools`, `texts`."""
    direct: str = ""
    """What goes wrong for a client that reads the same bytes directly; empty: nothing, it reads the same."""
    usage: tuple[int, int] | None = (10, 5)
    """The tokens of the receipt; None: they had to be estimated."""
    error: str = ""
    """A word of the error the client gets; empty: it gets an answer."""
    asks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the request."""

    @property
    def right(self) -> dict[str, Any]:
        nothing: dict[str, Any] = {"reasoning": "", "refusal": "", "tools": {}}
        texts = {0: self.text} if self.text else {}
        finishes = {} if self.finish is None else {0: self.finish}
        return {"texts": texts, "finishes": finishes, **nothing, **self.said}


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One row, travelled."""

    direct: Read
    through: Read
    receipt: Receipt | None


def model_of(name: str) -> str:
    """The model that stands for a row."""
    words = re.sub(r"[^a-z0-9]+", "-", name.rpartition(": ")[2].lower()).strip("-")
    return f"case-{words[:40]}-{crc32(name.encode()):08x}"


def prices(names: Iterable[str], provider: str = "up") -> str:
    """The same price for every row, as configuration."""
    return "".join(
        f'[[prices]]\ntarget = "{provider}/{model_of(name)}"\ninput = 1\noutput = 2\n' for name in names
    )


def whole_read(found: Read) -> dict[str, Any]:
    """The whole answer that was read, as the client shows it."""
    (answer,) = found.chunks
    return dict(json.loads(answer))


def halves_joined(said: Any) -> str:
    """What was said with the halves of characters put together that stand side by side."""
    return (
        json.dumps(said, ensure_ascii=False, sort_keys=True)
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
    )


async def read(client: AsyncOpenAI, model: str, *, stream: bool, **fields: Any) -> Read:
    """Ask as a user would and take all of it, its failure too."""
    found = Read(stream=stream)
    asked: dict[str, Any] = {"messages": HELLO, **fields}
    try:
        raw = await client.chat.completions.with_raw_response.create(model=model, stream=stream, **asked)
        found.headers, found.status = raw.headers, raw.status_code
        if stream:
            parts: Any = raw.parse()
            async for part in parts:
                found.take(part)
        else:
            found.take(raw.parse())
    except Exception as error:  # noqa: BLE001 - whatever a user of the client would meet is what is compared
        found.error = error
        found.status = getattr(error, "status_code", found.status)
    return found


def travel(
    rows: Mapping[str, Row],
    upstream: FaultProvider,
    gateway: Running,
    *,
    stream: bool,
    provider: str = "up",
    impatient: bool = False,
) -> dict[str, Seen]:
    """Have every row read on both roads. `impatient`: the direct client does not wait for an end."""

    async def one(name: str, row: Row, direct: AsyncOpenAI, through: AsyncOpenAI) -> tuple[Read, Read]:
        model = model_of(name)
        upstream.exactly(model, row.reply)
        return (
            await read(direct, model, stream=stream, **row.asks),
            await read(through, f"{provider}/{model}", stream=stream, **row.asks),
        )

    async def all_of() -> list[tuple[Read, Read]]:
        patience_s = LITTLE_PATIENCE_S if impatient else PATIENCE_S
        async with (
            _client(upstream.base_url, patience_s) as direct,
            _client(gateway.base_url, PATIENCE_S) as through,
        ):
            return await in_turns([bound(one, name, row, direct, through) for name, row in rows.items()])

    reads = asyncio.run(all_of())
    receipts = {row.request_id: row for row in gateway.receipts()}
    return {
        name: Seen(direct, through, receipts.get(through.request_id))
        for name, (direct, through) in zip(rows, reads, strict=True)
    }


def ask_all(
    gateway: Running, models: Mapping[str, Mapping[str, Any]], *, stream: bool, **headers: str
) -> dict[str, Read]:
    """Have the official client ask the gateway for each model, with the fields beside its name."""

    async def all_of() -> list[Read]:
        async with _client(gateway.base_url, PATIENCE_S, headers) as client:
            return await in_turns(
                [bound(read, client, model, stream=stream, **asks) for model, asks in models.items()]
            )

    return dict(zip(models, asyncio.run(all_of()), strict=True))


def _client(base_url: str, timeout_s: float, headers: Mapping[str, str] | None = None) -> AsyncOpenAI:
    given = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
    return AsyncOpenAI(
        base_url=base_url, api_key="any", max_retries=0, timeout=timeout_s, default_headers=given
    )


def bound(function: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Job:
    return lambda: function(*given, **named)


async def in_turns(jobs: Iterable[Job], at_once: int = AT_ONCE) -> list[Any]:
    """Run them all, so many at a time, and return what they say in order."""
    gate = asyncio.Semaphore(at_once)

    async def job(run: Job) -> Any:
        async with gate:
            return await run()

    return await asyncio.gather(*[job(each) for each in jobs])


async def bare(port: int, body: bytes) -> tuple[int, bytes]:
    """One request by plain sockets: status, and all that came until the end. Cheap enough for thousands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    async with asyncio.timeout(PATIENCE_S):
        said = await reader.read(-1)
    writer.close()
    return int(said[9:12]), said.partition(b"\r\n\r\n")[2]


def text_of(body: bytes) -> str:
    """The words in the body of a streamed answer that came by plain sockets, chunked or not."""
    words = ""
    for payload in _payloads(body):
        for choice in (json.loads(payload).get("choices") or ()) if payload.startswith("{") else ():
            words += (choice.get("delta") or {}).get("content") or ""
    return words


def is_whole(body: bytes) -> bool:
    """Whether it ends as a good stream ends."""
    return _payloads(body)[-1:] == ["[DONE]"]


def _payloads(body: bytes) -> list[str]:
    lines = _unchunked(body).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
    return [
        payload
        for block in lines
        if (
            payload := "".join(
                line[5:].decode().strip(" ") for line in block.split(b"\n") if line.startswith(b"data:")
            )
        )
    ]


def _unchunked(body: bytes) -> bytes:
    """The bytes of a chunked body; those of another as they are."""
    parts = []
    while (found := re.match(rb"([0-9a-f]+)\r\n", body)) and (size := int(found[1], 16)):
        parts.append(body[found.end() : found.end() + size])
        body = body[found.end() + size + 2 :]
    return b"".join(parts) or body
