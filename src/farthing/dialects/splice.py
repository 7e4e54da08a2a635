"""Changes to the top-level values of a JSON object that leave all its other bytes as they were.

White space, the order of names, escapes and how numbers are written stay: a prompt cache hangs on them, and a
client's long integers and unknown fields too. Nothing is decoded but the values beside those that change:
where what changes stands before the first large value or after the last one, as SDKs write it, the large ones
are not even looked at.
"""

import re
from collections.abc import Collection, Iterator, Mapping

import msgspec
from msgspec import Raw, Struct

from farthing.text.lenient_json import write_json

NEAR_BYTES = 2_048
"""How far from each end of an object small values are looked for before all of it is walked through."""

_PLAIN = rb'"([^"\\\x00-\x1f]{0,128}+)"[ \t\r\n]*+:[ \t\r\n]*+'
_SMALL = rb'("[^"\\\x00-\x1f]{0,256}+"|-?[0-9][0-9.eE+-]{0,40}+|true|false|null)'
_BLANK = rb"[ \t\r\n]*+"
_open = re.compile(rb"[ \t\r\n]*+\{").match
_first = re.compile(_BLANK + _PLAIN + _SMALL + _BLANK + rb"(?=[,}])").match
_last = re.compile(rb"[{,]" + _BLANK + _PLAIN + _SMALL + _BLANK + rb"\Z").search
_name = re.compile(_BLANK + rb'("(?:[^"\\]++|\\.)*+")' + _BLANK + rb":" + _BLANK, re.DOTALL).match
_blank = re.compile(_BLANK).match
_decode_values = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_name = msgspec.json.Decoder(str).decode


class Removed:
    """In the place of a value: the name goes too."""


REMOVED = Removed()
Changes = Mapping[str, object]
"""The new value of each name, or `REMOVED`. A name that is not there is added."""


class _Member(Struct, frozen=True):
    """One name and its value: bytes `begin` to `end`, the value from `value`."""

    begin: int
    value: int
    end: int


def spliced(raw: bytes, changes: Changes, names: Collection[str]) -> bytes | None:
    """The JSON object `raw` with `changes` made to it; None where that takes writing all of it anew.

    `raw` must be an object that a strict parser has read, no name of which is there twice; `names` are its
    names. An object with such a name is found out only where it has to be walked through.
    """
    there = {name: value for name, value in changes.items() if name in names}
    members, opened = _members(raw, there), _open(raw)
    if members is None or opened is None:
        return None
    begin = opened.end()
    edits: list[tuple[int, int, bytes]] = []
    for name, value in there.items():
        if value is not REMOVED:
            edits.append((members[name].value, members[name].end, write_json(value)))
    gone = [members[name] for name, value in there.items() if value is REMOVED]
    edits += [(*cut, b"") for cut in _cuts(gone, list(members.values()))]
    added = [
        b"%b:%b" % (write_json(name), write_json(value))
        for name, value in changes.items()
        if name not in names and value is not REMOVED
    ]
    if added:
        edits.append((begin, begin, b",".join(added) + (b"," if len(names) > len(gone) else b"")))
    return edited(raw, edits)


def members(raw: bytes) -> dict[str, tuple[int, int]] | None:
    """Where the value of each name of the JSON object `raw` begins and ends; None where they are not told
    apart, as where a name is there twice."""
    found = _walked(raw)
    return None if found is None else {name: (one.value, one.end) for name, one in found.items()}


def edited(raw: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """`raw` with other bytes in the place of some: begin, end and what stands there then."""
    view = memoryview(raw)
    pieces: list[bytes | memoryview] = []
    at = 0
    for begin, end, told in sorted(edits):
        pieces += (view[at:begin], told)
        at = end
    pieces.append(view[at:])
    return b"".join(pieces)


def _members(raw: bytes, wanted: Changes) -> Mapping[str, _Member] | None:
    """Where the members `wanted` stand, and all others if one of them is to go; None: not all are found."""
    found: Mapping[str, _Member] | None = {}
    if wanted:
        goes = any([value is REMOVED for value in wanted.values()])
        found = (None if goes else _near(raw, wanted)) or _walked(raw)
    return found if found is not None and wanted.keys() <= found.keys() else None


def _cuts(gone: list[_Member], members: list[_Member]) -> Iterator[tuple[int, int]]:
    """What to cut out for the members `gone` of all `members`: each with one comma, where one is left."""
    if not gone:
        return
    stays = [member not in gone for member in members]
    kept = False  # one before it stays
    for index, member in enumerate(members):
        if stays[index]:
            kept = True
        elif kept:
            yield members[index - 1].end, member.end
        elif index + 1 < len(members):
            yield member.begin, members[index + 1].begin
        else:
            yield member.begin, member.end


def _near(raw: bytes, wanted: Collection[str]) -> dict[str, _Member] | None:
    """The members `wanted`, where they stand near an end of the object; None: not all of them do."""
    opened = _open(raw)
    if opened is None:
        return None
    left = set(wanted)
    found: dict[str, _Member] = {}
    at, until = opened.end(), min(len(raw), NEAR_BYTES)
    while left:
        match = _first(raw, at, until)
        if match is None:
            break
        _note(match, 0, left, found)
        at = match.end() + 1
    if not left:
        return found
    base = max(opened.end() - 1, len(raw) - NEAR_BYTES)
    tail = raw[base:].rstrip(b" \t\r\n")
    end = len(tail) - 1 if tail.endswith(b"}") else 0
    while left:
        match = _last(tail, max(0, end - 512), end)
        if match is None:
            return None
        _note(match, base, left, found)
        end = match.start()
    return found


def _note(match: re.Match[bytes], base: int, left: set[str], found: dict[str, _Member]) -> None:
    name = match[1].decode("utf-8", "replace")
    if name in left:
        left.remove(name)
        found[name] = _Member(base + match.start(1) - 1, base + match.start(2), base + match.end(2))


def _walked(raw: bytes) -> dict[str, _Member] | None:
    """All members in the order in which they stand; None where they are not told apart: a name is there
    twice, or it is no JSON as strict parsers read it."""
    try:
        values = _decode_values(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    opened = _open(raw)
    if opened is None:
        return None
    found: dict[str, _Member] = {}
    at, ended = opened.end(), b"}" if not values else b","
    for name, value in values.items():
        match = _name(raw, at)
        if ended != b"," or match is None or _decode_name(match[1]) != name:
            return None
        told = bytes(value)
        begin, end = match.end(), match.end() + len(told)
        if not raw.startswith(told, begin):
            return None
        found[name] = _Member(match.start(1), begin, end)
        after = _blank(raw, end)
        at = end if after is None else after.end()
        ended, at = raw[at : at + 1], at + 1
    return found if ended == b"}" else None
