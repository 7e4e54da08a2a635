"""Replies given as the very bytes that go on the wire, for what no word of a script can say.

    provider.exactly("bom", streamed(b"\\xef\\xbb\\xbf" + event(chunk({"content": "hello"})), *ENDING))

`chunk`, `whole_of` and the like make the values a good provider sends; `streamed` and `whole` frame them.
"""

import dataclasses
import json
import threading
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal

Json = dict[str, Any]
End = Literal["keep", "cut", "reset", "hold"]
Framing = Literal["chunked", "length", "close"]

HELD_S: Final = 60.0
HELD_LOOK_S: Final = 0.05
DELIVERED_S: Final = 10.0  # for the last bytes, of one who reads
DONE: Final = b"data: [DONE]\n\n"
COUNTS: Final[Json] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
EVENTS: Final = "text/event-stream"
JSON: Final = "application/json"


@dataclasses.dataclass(frozen=True, slots=True)
class Exact:
    """One reply: what to write, each after so many seconds, and how the connection goes on afterwards."""

    pieces: tuple[tuple[float, bytes], ...]
    end: End = "keep"
    """`keep`: the next request may come. `cut`: FIN. `reset`: RST. `hold`: silence until the other leaves."""
    held: tuple[int, threading.Event] | None = None
    """The piece before which to wait, and for what; see `held_at`."""

    @property
    def status(self) -> int:
        return int(b"".join(data for _, data in self.pieces)[9:12])

    def held_at(self, piece: int, until: threading.Event) -> "Exact":
        """The same, but piece number `piece` (the head is 0) is not written before `until` is set."""
        return dataclasses.replace(self, held=(piece, until))

    def cut_into(self, sizes: Iterable[int], pause_s: float) -> "Exact":
        """The same bytes in writes of these sizes, the rest in one, with a pause before each."""
        rest = b"".join(data for _, data in self.pieces)
        parts: list[tuple[float, bytes]] = []
        for size in sizes:
            parts.append((pause_s, rest[:size]))
            rest = rest[size:]
            if not rest:
                break
        return Exact((*parts, *([(pause_s, rest)] if rest else [])), self.end)


# -- values ------------------------------------------------------------------------------------------


def chunk(delta: Any = None, finish: Any = None, *, index: Any = 0, **more: Any) -> Json:
    """A chunk of one choice. `more` stands beside `choices`, and may replace it."""
    choice = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "m-1",
        "choices": [choice],
        **more,
    }


def say(*words: str) -> list[Json]:
    return [chunk({"content": word}) for word in words]


def counted(usage: Any = COUNTS, **more: Any) -> Json:
    """The chunk that holds only the usage."""
    return {**chunk(), "choices": [], "usage": usage, **more}


def whole_of(message: Any = "hello", finish: Any = "stop", usage: Any = COUNTS, **more: Any) -> Json:
    """A whole completion; a `message` that is a text is its content."""
    if isinstance(message, str):
        message = {"role": "assistant", "content": message, "refusal": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m-1",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": usage,
        **more,
    }


ROLE: Final = chunk({"role": "assistant", "content": ""})
STOP: Final = chunk(finish="stop")
COUNTED: Final = counted()
ENDING: Final = (STOP, COUNTED, DONE)
HELLO: Final = (ROLE, *say("hel", "lo"))


# -- bytes -------------------------------------------------------------------------------------------


def encoded(value: Any) -> bytes:
    """JSON as Python writes it: NaN and Infinity as they are, lone surrogates as `\\ud83d`."""
    if isinstance(value, bytes):
        return value
    text = json.dumps(value, ensure_ascii=False)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        text = json.dumps(value)
    return text.encode()


def event(value: Any, *lines: bytes, field: bytes = b"data: ", eol: bytes = b"\n") -> bytes:
    """An event with `value` for its data, after other `lines`."""
    return eol.join([*lines, field + encoded(value), b"", b""])


def streamed(
    *events: Json | bytes,
    status: int = 200,
    content_type: str | None = EVENTS,
    headers: Mapping[str, str] | None = None,
    framing: Framing = "chunked",
    end: End = "keep",
    gap_s: float = 0.0,
    eol: bytes = b"\n",
) -> Exact:
    """A stream of `events`, each in one write (and HTTP chunk); bytes go as they are."""
    blocks = [one if isinstance(one, bytes) else event(one, eol=eol) for one in events]
    given = {} if content_type is None else {"content-type": content_type}
    given |= headers or {}
    if framing == "chunked":
        head = _head(status, given | {"transfer-encoding": "chunked"})
        last = [(0.0, b"0\r\n\r\n")] if end == "keep" else []
        parts = [(gap_s, b"%x\r\n%b\r\n" % (len(block), block)) for block in blocks if block]
        return Exact(((0.0, head), *parts, *last), end)
    if framing == "length":
        head = _head(status, given | {"content-length": str(sum(map(len, blocks)))})
    else:
        head = _head(status, given | {"connection": "close"})
        end = "cut" if end == "keep" else end
    return Exact(((0.0, head), *((gap_s, block) for block in blocks)), end)


def whole(
    body: Any, status: int = 200, *, content_type: str | None = JSON, headers: Mapping[str, str] | None = None
) -> Exact:
    """A reply in one piece, with its length."""
    data = encoded(body)
    given = {} if content_type is None else {"content-type": content_type}
    return Exact(((0.0, _head(status, given | (dict(headers or {})), len(data)) + data),))


def _head(status: int, headers: Mapping[str, str], length: int | None = None) -> bytes:
    known = status in HTTPStatus._value2member_map_
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if known else 'Unknown'}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [] if length is None else [f"content-length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
