"""The prefix of a prompt as it goes up, as a chain of digests: tools, system, each message.

The order is that in which providers cache: tools come before the system prompt, and that before messages,
wherever they stand in the body. A dialect is known by the names of its fields. Marks of what is to be cached
are no part of a prefix: agents move them each turn, and providers find the prefix all the same.

A conversation grows at its end, so what was read before is not read again: where the bytes up to some message
are those of the call before, one hash over them tells (0.2 ns a byte), and only the rest is taken apart.
Digests are 64 bits, keyed anew in each process, and mean nothing outside it.
"""

import re
from array import array
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

BODY_BYTES_MIN: Final = 1_500
"""A shorter body has not the tokens that any provider caches: it is not looked at."""
BODY_BYTES_MAX: Final = 4_194_304  # of text a million tokens
SEGMENTS_MAX: Final = 5_000
BLOCK_BYTES: Final = 1_024
"""How exactly it is known where a segment changed."""
BLOCKS_MAX: Final = 256  # of one segment; of what is behind them only that it changed is known
AT_ONCE: Final = 256
"""Messages that are taken apart without a pause, which takes 1 ms; fewer where they have as many bytes as
follow."""
AT_ONCE_BYTES: Final = 524_288
NEAR_END: Final = 4
"""Messages at the end that are read anew each time: marks stand there, and move."""
KEPT_PARTS_MAX: Final = 16
MEDIA_BYTES: Final = 6_000
"""What an image counts as beside text when tokens are shared out among segments."""
TOOLS, SYSTEM, MESSAGES = 0, 1, 2
"""Places of segments; messages begin at the last of them."""


class _Body(Struct):
    messages: list[Raw] | UnsetType = UNSET
    input: list[Raw] | str | UnsetType = UNSET
    contents: list[Raw] | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    functions: Raw | UnsetType = UNSET
    toolConfig: Raw | UnsetType = UNSET
    system: Raw | UnsetType = UNSET
    instructions: Raw | UnsetType = UNSET
    systemInstruction: Raw | UnsetType = UNSET

    def turns(self) -> tuple[str, Sequence[Raw]] | None:
        """The field that holds the conversation, and what is in it."""
        for name in ("messages", "input", "contents"):
            held = getattr(self, name)
            if held.__class__ is list:
                return name, held
        return None

    @property
    def offered(self) -> Raw | UnsetType:
        return next((one for one in (self.tools, self.functions, self.toolConfig) if one is not UNSET), UNSET)

    @property
    def told(self) -> Raw | UnsetType:
        named = (self.system, self.instructions, self.systemInstruction)
        return next((one for one in named if one is not UNSET), UNSET)


_decode = msgspec.json.Decoder(_Body).decode
_MARK = re.compile(rb'"cache_control"\s*:\s*(?:\{[^{}]*\}|null)')
_POINT = re.compile(rb'\{\s*"cachePoint"\s*:\s*\{[^{}]*\}\s*\}')
_ONE_TEXT = re.compile(rb'("content"\s*:\s*)\[\s*\{\s*"type"\s*:\s*"text"\s*,\s*"text"\s*:\s*(?=")')
_ONE_SYSTEM = re.compile(rb'\[\s*\{\s*"type"\s*:\s*"text"\s*,\s*"text"\s*:\s*(?=")')
_SYSTEM_ROLE = re.compile(rb'[^{}\[\]]{0,64}?"role"\s*:\s*"(?:system|developer)"')
_MEDIA = re.compile(rb'"(?:data:[^,"]{0,100},)?[A-Za-z0-9+/_-]{256}')
"""How data in base64 begins."""


class Prefix:
    """The segments of one body. Never changed once it is read."""

    __slots__ = (
        "_blocks",
        "_ends",
        "_head",
        "_kept",
        "_kept_bytes",
        "_kept_hashes",
        "_name",
        "_raws",
        "digests",
        "sizes",
        "systems",
        "weights",
    )

    def __init__(self) -> None:
        self.digests = array("q")
        """Of each segment: tools, system, messages. 0: there is none."""
        self.sizes = array("q")
        """Bytes of each, without marks."""
        self.weights = array("q")
        """Bytes of each, media counted as `MEDIA_BYTES`: what its tokens are in proportion to."""
        self.systems = 0
        """Of the messages, how many of the first are the system's."""
        self._blocks = array("q")
        """Digests of the blocks of all segments, and where those of each end."""
        self._ends = array("q")
        self._head = (False, False)
        """Whether tools and the system prompt stand before the messages in the body."""
        self._name = ""
        self._kept = 0
        self._kept_bytes = 0
        """The body up to here, which is `_kept` messages, is not taken apart again."""
        self._kept_hashes: tuple[tuple[int, int], ...] = ()
        """Digests of the body up to there: of each part its end and its digest."""
        self._raws = [0, 0]
        """Digests of tools and the system prompt with their marks."""

    def label(self, place: int) -> str:
        """What people call the segment at `place`."""
        message = place - MESSAGES
        if place == TOOLS:
            return "tools"
        return "system" if message < self.systems else f"message {message}"

    def tokens_before(self, place: int, byte: int, total_tokens: int) -> int:
        """An estimate of the tokens before a place, of a prompt that has `total_tokens`."""
        weight = sum(self.weights[:place])
        if place < len(self.weights) and self.sizes[place]:
            weight += self.weights[place] * min(byte, self.sizes[place]) // self.sizes[place]
        return total_tokens * weight // max(1, sum(self.weights))

    def parted(self, later: "Prefix") -> tuple[int, int] | None:
        """Where `later` first differs: the segment and the byte in it, to within `BLOCK_BYTES` before the
        change. None: all of this stands at its beginning."""
        mine, theirs = self.digests, later.digests
        shared = min(len(mine), len(theirs))
        if mine[:shared] == theirs[:shared]:
            return None if len(mine) <= shared else (shared, 0)
        place = next(index for index in range(shared) if mine[index] != theirs[index])
        ours, others = self._blocks_of(place), later._blocks_of(place)
        same = 0
        for one, other in zip(ours, others, strict=False):
            if one != other:
                break
            same += 1
        return place, min(same * BLOCK_BYTES, self.sizes[place], later.sizes[place])

    def _blocks_of(self, place: int) -> "array[int]":
        return self._blocks[self._end_of(place - 1) : self._end_of(place)]

    def _end_of(self, place: int) -> int:
        return self._ends[place] if place >= 0 else 0

    def _add(self, raw: Raw | UnsetType) -> None:
        if raw is UNSET:
            self.digests.append(0)
            self.sizes.append(0)
            self.weights.append(0)
            self._ends.append(len(self._blocks))
            return
        data = _plain(bytes(raw))
        size, digest = len(data), hash(data)
        self.digests.append(digest)
        self.sizes.append(size)
        self.weights.append(_weight(data) if size > MEDIA_BYTES and len(self.digests) > MESSAGES else size)
        if size <= BLOCK_BYTES:
            self._blocks.append(digest)
        else:
            view, until = memoryview(data), min(size, BLOCKS_MAX * BLOCK_BYTES)
            self._blocks.extend([hash(view[at : at + BLOCK_BYTES]) for at in range(0, until, BLOCK_BYTES)])
        self._ends.append(len(self._blocks))

    def _take(self, before: "Prefix", begin: int, end: int) -> None:
        """Segments of the call before, whose bytes are the same."""
        at, until = before._end_of(begin - 1), before._end_of(end - 1)
        moved = len(self._blocks) - at
        self._ends.extend(
            [one + moved for one in before._ends[begin:end]] if moved else before._ends[begin:end]
        )
        self.digests.extend(before.digests[begin:end])
        self.sizes.extend(before.sizes[begin:end])
        self.weights.extend(before.weights[begin:end])
        self._blocks.extend(before._blocks[at:until])

    def _add_messages(self, raws: Sequence[Raw]) -> None:
        """Add messages behind those that are there."""
        first = 0
        if self.systems == len(self.digests) - MESSAGES:
            while first < len(raws) and _SYSTEM_ROLE.match(bytes(raws[first])[1:256]):
                first += 1
            self.systems += first
        for raw in raws:
            self._add(raw)

    def _keep(self, body: bytes, begin: int, raws: Sequence[Raw]) -> None:
        """Remember up to where the next body is likely to be the same. `raws` are the messages behind those
        that are kept, the first of which begins at byte `begin`."""
        at = end = begin
        for raw in raws:
            end = at + memoryview(raw).nbytes
            at = _next(body, end)
        hashes = self._kept_hashes
        if len(hashes) >= KEPT_PARTS_MAX:
            hashes = ()
        since = hashes[-1][0] if hashes else 0
        self._kept_hashes = (*hashes, (end, hash(memoryview(body)[since:end])))
        self._kept, self._kept_bytes = self._kept + len(raws), end

    def _see_head(self, body: bytes, left: int) -> None:
        """See which segments stand before the messages, of which `left` stand behind what is kept. Nothing is
        kept where the messages turn out to stand elsewhere: something like them was before them."""
        try:
            tail = _decode(_rest(body, self._name, self._kept_bytes))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._kept = 0
            return
        turns = tail.turns()
        if turns is None or len(turns[1]) != left:
            self._kept = 0
        self._head = (tail.offered is UNSET, tail.told is UNSET)


class Reading:
    """Takes a body apart, at most `AT_ONCE` messages at a time."""

    __slots__ = ("_body", "_end", "_left", "_prefix", "_raws")

    def __init__(self, body: bytes, prefix: Prefix, raws: Sequence[Raw], begin: int | None) -> None:
        """`raws` are the messages behind those that `prefix` has, the first of which begins at byte `begin`;
        None: it is not known where."""
        self._body = body
        self._prefix = prefix
        self._raws = raws
        self._end = begin
        self._left = 0
        self.go_on()

    @property
    def done(self) -> bool:
        return self._left >= len(self._raws)

    def go_on(self) -> bool:
        """Take some more messages apart. False: all are."""
        if self.done:
            return False
        begin, prefix, raws = self._left, self._prefix, self._raws
        self._left, size = begin + 1, memoryview(raws[begin]).nbytes
        while self._left < min(len(raws), begin + AT_ONCE) and size < AT_ONCE_BYTES:
            size += memoryview(raws[self._left]).nbytes
            self._left += 1
        prefix._add_messages(raws[begin : self._left])
        if self._left < len(self._raws):
            return True
        kept = len(self._raws) - NEAR_END
        if kept > 0 and self._end is not None:
            whole = not prefix._kept
            prefix._keep(self._body, self._end, self._raws[:kept])
            if whole:
                prefix._see_head(self._body, len(self._raws) - kept)
        self._body, self._raws, self._left = b"", (), 0
        return False

    def finished(self) -> Prefix:
        """All of it."""
        while self.go_on():
            pass
        return self._prefix


def read(body: bytes, before: Prefix | None = None) -> Reading | None:
    """Begin to read the segments of a body; `before` are those of an earlier one of the same conversation,
    which makes it cheaper. None: it has no conversation that this reads, or is too long."""
    if len(body) > BODY_BYTES_MAX:
        return None
    try:
        if before is not None and before._kept and _begins(body, before):
            return _grown(body, before)
        return _whole(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _begins(body: bytes, before: Prefix) -> bool:
    if len(body) <= before._kept_bytes:
        return False
    view, begin = memoryview(body), 0
    for end, digest in before._kept_hashes:
        if hash(view[begin:end]) != digest:
            return False
        begin = end
    return True


def _whole(body: bytes) -> Reading | None:
    read = _decode(body)
    turns = read.turns()
    if turns is None or len(turns[1]) > SEGMENTS_MAX:
        return None
    name, raws = turns
    found = Prefix()
    found._name = name
    for place, raw in ((TOOLS, read.offered), (SYSTEM, read.told)):
        found._raws[place] = 0 if raw is UNSET else hash(bytes(raw))
        found._add(raw)
    return Reading(body, found, raws, _begin_of(body, name, raws) if len(raws) > NEAR_END else None)


def _grown(body: bytes, before: Prefix) -> Reading | None:
    read = _decode(_rest(body, before._name, before._kept_bytes))
    turns = read.turns()
    if turns is None or before._kept + len(turns[1]) > SEGMENTS_MAX:
        return None
    found = Prefix()
    found._name, found._head, found._kept = before._name, before._head, before._kept
    found._kept_bytes, found._kept_hashes = before._kept_bytes, before._kept_hashes
    found.systems = min(before.systems, before._kept)
    for place, raw in ((TOOLS, read.offered), (SYSTEM, read.told)):
        digest = 0 if raw is UNSET else hash(bytes(raw))
        if before._head[place] or digest == before._raws[place]:
            found._raws[place] = before._raws[place]
            found._take(before, place, place + 1)
        else:
            found._raws[place] = digest
            found._add(raw)
    found._take(before, MESSAGES, MESSAGES + before._kept)
    return Reading(body, found, turns[1], _next(body, before._kept_bytes))


def _next(body: bytes, at: int) -> int:
    """Where the next item of a list begins, the one before which ends at byte `at`."""
    while at < len(body) and body[at] in b", \n\r\t":
        at += 1
    return at


def _rest(body: bytes, name: str, end: int) -> bytes:
    """The body as an object that has only the messages behind byte `end`."""
    rest = body[end:].lstrip()
    return b'{"%b":[%b' % (name.encode(), rest[1:] if rest.startswith(b",") else rest)


def _begin_of(body: bytes, name: str, raws: Sequence[Raw]) -> int | None:
    """Where the first message begins."""
    first = bytes(raws[0])
    for match in re.finditer(rb'"%b"\s*:\s*\[\s*' % name.encode(), body):
        if body.startswith(first, match.end()):
            return match.end()
    return None


def _plain(data: bytes) -> bytes:
    """A segment without marks, and a text that is the only block of a message as if it were written alone:
    who marks a text has to write it as a block."""
    if data.rfind(b'"cache_control"') >= 0:
        data = _without(_MARK, data)
    if data.rfind(b'"cachePoint"') >= 0:
        data = _without(_POINT, data)
    if data.endswith(b'"}]') and data.startswith(b"["):
        match = _ONE_SYSTEM.match(data)
        if match is not None:
            text = data[match.end() : -2]
            if text.count(b'"') - text.count(b'\\"') == 2:
                return text
    if data.endswith(b'"}]}'):
        at = data.find(b'"content"', 0, 256)
        match = _ONE_TEXT.match(data, at) if at >= 0 else None
        if match is not None:
            text = data[match.end() : -3]
            if text.count(b'"') - text.count(b'\\"') == 2:  # of which none is within it
                data = b"%b%b%b}" % (data[:at], match[1], text)
    return data


def _without(what: re.Pattern[bytes], data: bytes) -> bytes:
    """`data` without the members or items that match, each with one comma beside it."""
    pieces, at = [], 0
    for match in what.finditer(data):
        before = data[at : match.start()].rstrip()
        rest = match.end()
        if before.endswith(b","):
            before = before[:-1]
        else:
            rest += len(data[rest : rest + 16]) - len(data[rest : rest + 16].lstrip(b" \n\r\t,"))
        pieces.append(before)
        at = rest
    return b"".join([*pieces, data[at:]]) if pieces else data


def _weight(data: bytes) -> int:
    """The bytes of a segment, those of each medium in it as `MEDIA_BYTES`."""
    weight = len(data)
    if data.rfind(b"base64") < 0 and data.rfind(b"inlineData") < 0:
        return weight
    at = 0
    while (match := _MEDIA.search(data, at)) is not None:
        at = data.find(b'"', match.end())
        if at < 0:
            break
        weight -= max(0, at - match.start() - MEDIA_BYTES)
    return weight
