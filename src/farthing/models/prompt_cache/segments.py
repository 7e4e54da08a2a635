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
FEW: Final = 4
"""Messages whose sizes are not looked at for that."""
NEAR_END: Final = 4
"""Messages at the end that are compared one by one: marks stand there, and move."""
NEAR_END_UNMARKED: Final = 2
"""The same where nothing is marked: the last may be told otherwise."""
KEPT_PARTS_MAX: Final = 64
SAMPLED_FROM: Final = 16_384
"""Bytes from which a beginning may be known again by samples of it, where a provider has yet to prove it."""
SAMPLES: Final = 6
SAMPLE_BYTES: Final = 128
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
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_MARK = re.compile(rb'"cache_control"\s*:\s*(?:\{[^{}]*\}|null)')
_POINT = re.compile(rb'\{\s*"cachePoint"\s*:\s*\{[^{}]*\}\s*\}')
_USUAL_MARKS = (
    b',"cache_control":{"type":"ephemeral"}',
    b',"cache_control":{"type":"ephemeral","ttl":"1h"}',
    b', "cache_control": {"type": "ephemeral"}',
)
_BLOCKS_END = b'"}]}'
_OPENING: Final = b'[{"type":"text","text":'
_OPENING_SPACED: Final = b'[{"type": "text", "text": '
_OPENING_BYTES: Final = len(_OPENING)
"""What makes a text a block: who marks a text has to write it as one, and it is taken for a text alone."""
CONTENT_WITHIN: Final = 64
"""Bytes of a message within which its blocks begin, behind its role."""
_BETWEEN: Final = frozenset(b", \n\r\t")
_LIST_ENDS: Final = 93
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
        "_near",
        "_raws",
        "_sampled",
        "_tail",
        "digests",
        "sizes",
        "systems",
        "weights",
    )

    def __init__(self, before: "Prefix | None" = None, taken: int = 0) -> None:
        """`taken` segments are those of `before`."""
        end = 0 if before is None else before._end_of(taken - 1)
        self.digests: array[int] = array("q") if before is None else before.digests[:taken]
        """Of each segment: tools, system, messages. 0: there is none."""
        self.sizes: array[int] = array("q") if before is None else before.sizes[:taken]
        """Bytes of each, without marks."""
        self.weights: array[int] = array("q") if before is None else before.weights[:taken]
        """Bytes of each, media counted as `MEDIA_BYTES`: what its tokens are in proportion to."""
        self._blocks: array[int] = array("q") if before is None else before._blocks[:end]
        """Digests of the blocks of all segments, and where those of each end."""
        self._ends: array[int] = array("q") if before is None else before._ends[:taken]
        self.systems = 0
        """Of the messages, how many of the first are the system's."""
        self._head = (False, False)
        """Whether tools and the system prompt stand before the messages in the body."""
        self._name = ""
        self._kept = 0
        self._kept_bytes = 0
        """The body up to here, which is `_kept` messages, is not taken apart again."""
        self._kept_hashes: tuple[tuple[int, int], ...] = ()
        """Digests of the body up to there: of each part its end and its digest."""
        self._sampled = 0
        """A digest of samples of what `_kept_hashes` cover."""
        self._near: list[tuple[int, int]] = []
        """Of the messages behind that, the bytes of each and their digest, with their marks."""
        self._tail = (0, 0, 0)
        """How many bytes stand behind the messages, their digest and one of samples. No bytes: it is not
        known."""
        self._raws = [0, 0]
        """Digests of tools and the system prompt with their marks."""

    @property
    def head(self) -> int | None:
        """A digest of tools and the system prompt; None: there is neither, or they are not read yet."""
        until = MESSAGES + self.systems
        told = self.digests[:until]
        return hash(tuple(told)) if any(told) else None

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

    def _add_field(self, raw: Raw | UnsetType) -> None:
        """Add tools or the system prompt."""
        if raw is UNSET:
            self.digests.append(0)
            self.sizes.append(0)
            self.weights.append(0)
            self._ends.append(len(self._blocks))
            return
        data = bytes(raw)
        self._add((data,), marked=_has_marks(data, 0, len(data)), field=True)

    def _add(
        self, raws: Sequence[Raw | bytes], *, marked: bool, field: bool = False
    ) -> list[tuple[int, int]]:
        """Add segments; of the last `NEAR_END` of them the bytes of each and their digest as they came."""
        digests, sizes, weights = self.digests, self.sizes, self.weights
        blocks, ends = self._blocks, self._ends
        near: list[tuple[int, int]] = []
        first = len(raws) - NEAR_END
        for index, raw in enumerate(raws):
            came = data = bytes(raw)
            if marked:
                data = _unmarked(data)
            if data.endswith(_BLOCKS_END):
                begin = data.find(_OPENING, 0, CONTENT_WITHIN)
                if begin >= 0:
                    data = data[:begin] + data[begin + _OPENING_BYTES : -4] + b'"}'
                elif (begin := data.find(_OPENING_SPACED, 0, CONTENT_WITHIN)) >= 0:
                    data = data[:begin] + data[begin + len(_OPENING_SPACED) : -4] + b'"}'
            elif field and data.endswith(b'"}]'):
                data = _bare(data)
            size, digest = len(data), hash(data)
            digests.append(digest)
            sizes.append(size)
            weights.append(size if field or size <= MEDIA_BYTES else _weight(data))
            if size <= BLOCK_BYTES:
                blocks.append(digest)
            else:
                until = min(size, BLOCKS_MAX * BLOCK_BYTES)
                blocks.extend([hash(data[at : at + BLOCK_BYTES]) for at in range(0, until, BLOCK_BYTES)])
            ends.append(len(blocks))
            if index >= first:
                near.append((size, digest) if data is came else (len(came), hash(came)))
        return near

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

    def _take_fields(self, before: "Prefix", fields: _Body) -> None:
        """Tools and the system prompt: those of the call before where they are the same."""
        for place, raw in ((TOOLS, fields.offered), (SYSTEM, fields.told)):
            digest = 0 if raw is UNSET else hash(bytes(raw))
            if before._head[place] or digest == before._raws[place]:
                self._raws[place] = before._raws[place]
                self._take(before, place, place + 1)
            else:
                self._raws[place] = digest
                self._add_field(raw)

    def _add_messages(self, raws: Sequence[Raw], *, marked: bool) -> list[tuple[int, int]]:
        """As `_add`, of messages behind those that are there."""
        if self.systems == len(self.digests) - MESSAGES:
            for raw in raws:
                if not _SYSTEM_ROLE.match(bytes(raw)[1:256]):
                    break
                self.systems += 1
        return self._add(raws, marked=marked)

    def _keep(self, body: bytes, begin: int, raws: Sequence[Raw], near: list[tuple[int, int]]) -> None:
        """Remember up to where the next body is likely to be the same. `raws` are the messages behind those
        that are kept, the first of which begins at byte `begin`; `near` is what is known of the last."""
        at, end, first = begin, self._kept_bytes or begin, len(raws) - len(near)
        for raw in raws[:first]:
            end = at + memoryview(raw).nbytes
            at = _next(body, end)
        if end != self._kept_bytes:
            hashes = self._kept_hashes
            if len(hashes) >= KEPT_PARTS_MAX:
                hashes = ()
            since = hashes[-1][0] if hashes else 0
            self._kept_hashes = (*hashes, (end, hash(body[since:end])))
            self._sampled = _sampled(body, end) if end >= SAMPLED_FROM else 0
        self._kept, self._kept_bytes, self._near = self._kept + first, end, near
        for size, _ in near:
            at = _next(body, at + size)
        left = len(body) - at
        if left != self._tail[0]:
            self._tail = _tail_of(body, left)

    def _see_head(self, body: bytes, left: int) -> None:
        """See which segments stand before the messages, of which `left` stand behind what is kept. Nothing is
        kept where the messages turn out to stand elsewhere: something like them was before them."""
        try:
            tail = _decode(_rest(body, self._name, self._kept_bytes))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._kept_bytes = 0
            return
        turns = tail.turns()
        if turns is None or len(turns[1]) != left:
            self._kept_bytes = 0
        self._head = (tail.offered is UNSET, tail.told is UNSET)


class Reading:
    """Takes a body apart, at most `AT_ONCE` messages at a time."""

    __slots__ = ("_begin", "_body", "_left", "_marked", "_near", "_prefix", "_raws", "_whole", "sure")

    def __init__(
        self,
        body: bytes,
        prefix: Prefix,
        raws: Sequence[Raw],
        begin: int | None,
        *,
        near: list[tuple[int, int]],
        marked: bool,
        sure: bool = True,
    ) -> None:
        """`raws` are the messages behind those that are kept, the first of which begins at byte `begin`;
        None: it is not known where. Of the first, which `prefix` has, `near` tells. `marked`: there may be
        marks."""
        self._body = body
        self._prefix = prefix
        self._raws = raws
        self._begin = begin
        self._near = near
        self._marked = marked
        self._whole = not prefix._kept_bytes
        self._left = len(near)
        self.sure = sure
        """False: what was taken from the call before was known again by samples, see `is_same`."""
        self.go_on()

    @property
    def prefix(self) -> Prefix:
        """What is read so far."""
        return self._prefix

    @property
    def done(self) -> bool:
        return not self._body

    def go_on(self) -> bool:
        """Take some more messages apart. False: all are."""
        if not self._body:
            return False
        begin, prefix, raws = self._left, self._prefix, self._raws
        few = len(raws) - begin <= FEW and len(self._body) <= AT_ONCE_BYTES
        end = len(raws) if few else _at_once(raws, begin)
        near = self._near
        near += prefix._add_messages(raws[begin:end], marked=self._marked)
        self._left = end
        if end < len(raws):
            return True
        if self._begin is not None:
            count = NEAR_END if self._marked else NEAR_END_UNMARKED
            prefix._keep(self._body, self._begin, raws, near[-count:])
            if self._whole:
                prefix._see_head(self._body, len(prefix._near))
        self._body, self._raws, self._near = b"", (), []
        return False

    def finished(self) -> Prefix:
        """All of it."""
        while self.go_on():
            pass
        return self._prefix


def _at_once(raws: Sequence[Raw], begin: int) -> int:
    """Up to which of `raws` is taken apart without a pause, from `begin` on."""
    until = min(len(raws), begin + AT_ONCE)
    size = 0
    for index in range(begin, until):
        size += memoryview(raws[index]).nbytes
        if size >= AT_ONCE_BYTES:
            return index + 1
    return until


def read(body: bytes, before: Prefix | None = None, *, sampled: bool = False) -> Reading | None:
    """Begin to read the segments of a body; `before` are those of an earlier one of the same conversation,
    which makes it cheaper. `sampled`: what was there before may be known again by samples of its bytes. None:
    it has no conversation that this reads, or is too long."""
    if len(body) > BODY_BYTES_MAX:
        return None
    try:
        if before is not None and before._kept_bytes and len(body) > before._kept_bytes:
            by_samples = sampled and before._sampled != 0
            begins = (
                _sampled(body, before._kept_bytes) == before._sampled if by_samples else is_same(body, before)
            )
            if begins:
                return _grown(body, before, sampled=sampled)
        return _whole(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def is_same(body: bytes, before: Prefix) -> bool:
    """Whether a body begins with the very bytes of the one before, as far as those are not read again."""
    if len(body) <= before._kept_bytes:
        return False
    begin = 0
    for end, digest in before._kept_hashes:
        if hash(body[begin:end]) != digest:  # the hash of a memoryview takes that of all that it is a view of
            return False
        begin = end
    return True


def _sampled(body: bytes, end: int, begin: int = 0) -> int:
    """A digest of samples of a body between two bytes, what stands before `end` among them."""
    step = max(1, (end - begin) // SAMPLES)
    places = range(end - SAMPLE_BYTES, begin, -step)
    return hash(b"".join([body[at : at + SAMPLE_BYTES] for at in places]))


def _tail_of(body: bytes, left: int) -> tuple[int, int, int]:
    """The last `left` bytes, as `Prefix._tail` has them."""
    begin = len(body) - left
    if left <= 0 or body[begin] != _LIST_ENDS:
        return 0, 0, 0
    return left, hash(body[begin:]), _samples_of_tail(body, left)


def _samples_of_tail(body: bytes, left: int) -> int:
    return _sampled(body, len(body), len(body) - left) if left >= SAMPLED_FROM else 0


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
        found._add_field(raw)
    begin = _begin_of(body, name, raws) if raws else None
    return Reading(body, found, raws, begin, near=[], marked=_has_marks(body, 0, len(body)))


def _grown(body: bytes, before: Prefix, *, sampled: bool) -> Reading | None:
    at, end = _next(body, before._kept_bytes), len(body) - before._tail[0]
    by_samples = sampled and before._tail[2] != 0
    if at < end < len(body) and _ends(body, before, by_samples=by_samples):
        raws: Sequence[Raw] = _decode_list(b"[%b]" % body[at:end])
        fields = None
    else:
        fields, by_samples, end = _decode(_rest(body, before._name, before._kept_bytes)), False, len(body)
        turns = fields.turns()
        if turns is None:
            return None
        raws = turns[1]
    if before._kept + len(raws) > SEGMENTS_MAX:
        return None
    near = _same(raws, before._near)
    taken = MESSAGES + before._kept + len(near)
    if fields is None:
        found = Prefix(before, taken)
        found._raws, found._tail = before._raws, before._tail
    else:
        found = Prefix()
        found._take_fields(before, fields)
        found._take(before, MESSAGES, taken)
    found._name, found._head, found._kept = before._name, before._head, before._kept
    found._kept_bytes, found._kept_hashes = before._kept_bytes, before._kept_hashes
    found._sampled = before._sampled
    found.systems = min(before.systems, before._kept + len(near))
    sure = not (by_samples or (sampled and before._sampled))
    return Reading(body, found, raws, at, near=near, marked=_has_marks(body, at, end), sure=sure)


def _ends(body: bytes, before: Prefix, *, by_samples: bool) -> bool:
    """Whether behind the messages stands what stood there before."""
    left, digest, samples = before._tail
    if by_samples:
        return _samples_of_tail(body, left) == samples
    return left == 0 or hash(body[-left:]) == digest


def _same(raws: Sequence[Raw], near: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of the first of `raws`, those that are as they were before."""
    for index, (raw, (size, digest)) in enumerate(zip(raws, near, strict=False)):
        if memoryview(raw).nbytes != size or hash(bytes(raw)) != digest:
            return near[:index]
    return near[: len(raws)]


def _has_marks(data: bytes, begin: int, end: int) -> bool:
    return data.rfind(b'"cache', begin, end) >= 0  # cache_control, cachePoint


def _next(body: bytes, at: int) -> int:
    """Where the next item of a list begins, the one before which ends at byte `at`."""
    while at < len(body) and body[at] in _BETWEEN:
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


def _unmarked(data: bytes) -> bytes:
    """A segment without marks."""
    if data.rfind(b'"cache_control"') >= 0:
        for mark in _USUAL_MARKS:
            if mark in data:
                data = data.replace(mark, b"")
                break
        if data.rfind(b'"cache_control"') >= 0:
            data = _without(_MARK, data)
    elif data.rfind(b'"cachePoint"') >= 0:
        data = _without(_POINT, data)
    return data


def _bare(data: bytes) -> bytes:
    """A system prompt that is one block of text as the text alone. Here and in `_add`, of more blocks the
    first loses its frame, which is as good."""
    for opening in (_OPENING, _OPENING_SPACED):
        if data.startswith(opening):
            return data[len(opening) : -3] + b'"'
    return data


def _without(what: re.Pattern[bytes], data: bytes) -> bytes:
    """`data` without the members or items that match, each with one comma beside it."""
    pieces: list[bytes] = []
    at = 0
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
