"""What a request to Messages costs to read: its blocks in the order they are cached in, their tokens, and the
cache of prefixes with its lives, minimum and look-back."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from tests.faults.said import Json, pieces_of

IMAGE_TOKENS: Final = 1_500
"""Of an image or a document that is not text, whatever its size."""
PREFIX_TOKENS_MIN: Final = 1_024
"""A shorter prefix is not cached, and nothing says so."""
LOOKBACK_BLOCKS: Final = 20
LIVES_S: Final = {"5m": 300.0, "1h": 3_600.0}
PREFIXES_MAX: Final = 10_000


class Block(NamedTuple):
    value: str
    """Equal for equal content: without its mark, whatever the order of keys."""
    tokens: int
    ttl: str
    """Of its mark; empty: it has none."""


Turn = tuple[str, int, list[Json]]
"""Role, index of its first message, blocks."""


class Reading(NamedTuple):
    """Tokens of a prompt by what is paid for them."""

    fresh: int
    read: int
    written_5m: int
    written_1h: int

    @property
    def total(self) -> int:
        return sum(self)


def blocks_of(body: Json) -> list[Block]:
    """Tools, system, messages: the order in which prefixes are made."""
    found = [_block("tool", tool, len(pieces_of(json.dumps(tool)))) for tool in body.get("tools") or ()]
    found += [_block("system", one) for one in blocks_in(body.get("system") or ())]
    for message in body.get("messages") or ():
        found += [_block(message["role"], one) for one in blocks_in(message["content"])]
    if found and body.get("cache_control"):  # on the request as a whole: on its last block
        found[-1] = found[-1]._replace(ttl=_ttl(body))
    return found


def blocks_in(content: Any) -> Iterable[Json]:
    """A text alone is short for one block of it."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def joined(messages: Iterable[Json]) -> list[Turn]:
    """Turns: neighbours of one role are one."""
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        blocks = list(blocks_in(message["content"]))
        if turns and turns[-1][0] == message["role"]:
            turns[-1][2].extend(blocks)
        else:
            turns.append((message["role"], index, blocks))
    return turns


def plain(value: Any) -> str:
    """`value` as text that is equal for equal content, marks left out."""
    return json.dumps(_unmarked(value), sort_keys=True, ensure_ascii=False)


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmarked(inner) for name, inner in value.items() if name != "cache_control"}
    return [_unmarked(inner) for inner in value] if isinstance(value, list) else value


def _block(place: str, value: Json, tokens: int | None = None) -> Block:
    ttl = _ttl(value) if value.get("cache_control") else ""
    return Block(f"{place} {plain(value)}", _tokens_of(value) if tokens is None else tokens, ttl)


def _ttl(value: Json) -> str:
    return str(value["cache_control"].get("ttl", "5m"))


def _tokens_of(block: Json) -> int:
    match block.get("type"):
        case "text":
            return len(pieces_of(block["text"]))
        case "thinking":
            return len(pieces_of(block["thinking"]))
        case "tool_use":
            return len(pieces_of(json.dumps(block["input"])))
        case "tool_result":
            return sum(_tokens_of(inner) for inner in blocks_in(block.get("content") or ()))
        case "document" if block["source"].get("type") == "text":
            return len(pieces_of(block["source"]["data"]))
        case "image" | "document":
            return IMAGE_TOKENS
        case _:
            return len(pieces_of(json.dumps(block)))


class PrefixCache:
    """Prefixes that were marked, by model. Reading one makes it live anew."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, tokens_min: int = PREFIX_TOKENS_MIN
    ) -> None:
        self._clock = clock
        self._tokens_min = tokens_min
        self._until_s: dict[bytes, tuple[float, str]] = {}

    def read(self, model: str, blocks: list[Block]) -> Reading:
        """Find the longest prefix that is cached, and cache those that are marked behind it."""
        now_s = self._clock()
        prefixes = list(_prefixes(model, blocks))
        marks = [index for index, block in enumerate(blocks) if block.ttl]
        total = prefixes[-1][1] if prefixes else 0
        hit = max((self._found(prefixes, mark, now_s) for mark in marks), default=-1)
        read = 0
        if hit >= 0:
            digest, read = prefixes[hit]
            ttl = self._until_s[digest][1]
            self._until_s[digest] = (now_s + LIVES_S[ttl], ttl)
        written, before = {"5m": 0, "1h": 0}, read
        for mark in marks:
            digest, tokens = prefixes[mark]
            if mark > hit and tokens >= self._tokens_min:
                written[blocks[mark].ttl] += tokens - before
                before = tokens
                self._keep(digest, now_s, blocks[mark].ttl)
        return Reading(total - before, read, written["5m"], written["1h"])

    def _found(self, prefixes: list[tuple[bytes, int]], mark: int, now_s: float) -> int:
        """Index of the last block of the longest cached prefix that a mark there finds; -1: none."""
        for index in range(mark, max(mark - LOOKBACK_BLOCKS, -1), -1):
            if self._until_s.get(prefixes[index][0], (0.0, ""))[0] > now_s:
                return index
        return -1

    def _keep(self, digest: bytes, now_s: float, ttl: str) -> None:
        if len(self._until_s) >= PREFIXES_MAX:
            del self._until_s[next(iter(self._until_s))]
        self._until_s[digest] = (now_s + LIVES_S[ttl], ttl)


def _prefixes(model: str, blocks: list[Block]) -> Iterator[tuple[bytes, int]]:
    """Digest and tokens of the prefix that ends with each block."""
    digest, tokens = hashlib.blake2b(model.encode(), digest_size=16), 0
    for block in blocks:
        digest.update(block.value.encode("utf-8", "surrogatepass") + b"\0")
        tokens += block.tokens
        yield digest.digest(), tokens
