"""Embeddings of more inputs than a provider takes at once: the list in parts, and their answers as one. Pure.

A vector is passed on as it was written, floats or base64, digit for digit.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from farthing.dialects.splice import spliced
from farthing.text.lenient_json import write_json
from farthing.types import Json

CHARS_PER_TOKEN_MIN = 3
"""So few characters a token has at least in most texts; one more part costs less than a refusal."""


class InputsMax(Struct, frozen=True):
    """What one call takes. None: anything."""

    count: int | None = None
    tokens: int | None = None


ANY_INPUTS = InputsMax()


class NotVectors(Exception):
    """An answer does not have one vector for each input. The message says why."""


class _Entry(Struct):
    index: int = -1


_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_entries = msgspec.json.Decoder(list[Raw]).decode
_decode_entry = msgspec.json.Decoder(_Entry).decode
_decode_any = msgspec.json.Decoder().decode


def in_parts(body: Json, most: InputsMax) -> list[Json]:
    """Bodies that together ask for all inputs of `body`, in order; `body` alone where one call takes it. A
    list of token ids is one input."""
    given = body.get("input")
    if given.__class__ is not list or len(given) < 2 or given[0].__class__ is int:
        return [body]
    parts = list(_parts(given, most))
    return [body] if len(parts) == 1 else [{**body, "input": part} for part in parts]


def _parts(given: Sequence[Any], most: InputsMax) -> Iterator[list[Any]]:
    part: list[Any] = []
    held = 0
    for one in given:
        tokens = 0 if most.tokens is None else _tokens_at_most(one)
        full = most.count is not None and len(part) >= most.count
        if part and (full or (most.tokens is not None and held + tokens > most.tokens)):
            yield part
            part, held = [], 0
        part.append(one)
        held += tokens
    yield part


def _tokens_at_most(one: Any) -> int:
    if isinstance(one, str):
        return (len(one) if one.isascii() else len(one.encode("utf-8", "replace"))) // CHARS_PER_TOKEN_MIN + 1
    return len(one) if isinstance(one, list) else 0


def entries_of(body: bytes, count: int) -> list[bytes]:
    """The entries of an answer to `count` inputs, by their index.

    Raises:
        NotVectors: there is not exactly one for each.
    """
    try:
        entries = _decode_entries(_decode(body)["data"])
        found = {_decode_entry(entry).index: bytes(entry) for entry in entries}
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError):
        raise NotVectors("it has no list of vectors") from None
    if len(entries) != count or found.keys() != set(range(count)):
        raise NotVectors(f"it has {len(entries)} vectors for {count} inputs, or their indexes are wrong")
    return [found[index] for index in range(count)]


def one_answer(bodies: Sequence[bytes], entries: Sequence[bytes]) -> bytes:
    """The answer that `entries` are the vectors of, all else as in the first of `bodies`, their counts of
    tokens added up."""
    first: dict[str, Any] = dict(_decode(bodies[0]))
    told = [_decode_any(usage) for body in bodies if (usage := _decode(body).get("usage")) is not None]
    first["data"] = Raw(b"[%b]" % b",".join([one_at(index, entry) for index, entry in enumerate(entries)]))
    if told and all(isinstance(usage, dict) for usage in told):
        first["usage"] = _added(told)
    return write_json(first)


def one_at(index: int, entry: bytes) -> bytes:
    """An entry with that index, all else as it was written."""
    if _decode_entry(entry).index == index:
        return entry
    names = _decode(entry).keys()
    changed = spliced(entry, {"index": index}, names)
    return write_json({**_decode_any(entry), "index": index}) if changed is None else changed


def _added(told: Sequence[Json]) -> Json:
    found = dict(told[0])
    for usage in told[1:]:
        for name, value in usage.items():
            if isinstance(value, int) and isinstance(found.get(name, 0), int):
                found[name] = found.get(name, 0) + value
    return found
