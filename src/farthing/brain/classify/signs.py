# ruff: noqa: RUF001  (signs of many scripts)
"""The linear classifier's features: properties of a request's form, and hashed words.

Words are hashed with CRC-32 in C loops. A word at the opening, at the close, anywhere in the user's text and
in the system prompt gives four different features, because instructions are at the edges and material is
between them. Chinese, Japanese and Thai are read in pairs of characters. Training (`tools/train_classifier`)
and classification use this same module, so they cannot differ.
"""

from itertools import repeat
from typing import Any, NamedTuple
from zlib import crc32

from farthing.brain.classify.rules import without_signs
from farthing.types import Json, Request, Traits

EDGE_CHARS = 600
"""This many characters of the start and of the end of each text are read."""
_FIRST_WORDS, _LAST_WORDS = 30, 20
_FIRST_SYSTEM, _LAST_SYSTEM = 30, 10
_NEAR_WORDS = 8
_READ = _FIRST_WORDS + _LAST_WORDS
"""At most this many words of a text are read."""
_DENSE_CHARS = 80
_PARTS_MAX = 32
WORDS_MAX = 250
"""A group never has more features: their weights add up without overflow."""

_ANYWHERE, _OPENING, _CLOSE, _SYSTEM, _SIGN = 0x0, 0x1F35A2C7, 0x2D9E61B3, 0x3B7C4D51, 0x4A61F0E9
_STEM = 0x5C1D93A7

_SPACED = bytes(b if b >= 0x80 else ord(chr(b).lower()) if chr(b).isalnum() else 0x20 for b in range(256))
_ONLY_ASCII = bytes(b if b < 0x80 and chr(b).isalnum() else 0x20 for b in range(256))
# Separators that occur only in Asian texts, by their first byte.
_WIDE_SIGNS = ((b"\xe3\x80", "。、「」"), (b"\xef\xbc", "，：？！"), (b"\xd8", "؟،"), (b"\xe0\xa5", "।"))
_SIGNS_OF = tuple((first, tuple(c.encode() for c in signs)) for first, signs in _WIDE_SIGNS)
_BOUNDLESS = frozenset([*range(0xE4, 0xEA)])  # first bytes of Han
_IMPERATIVE_ROLES = ("system", "developer")
_TOOL_ROLES = ("tool", "function")


class Seen(NamedTuple):
    """The features of one request. `signs` count in full; those of the other groups are divided by the root
    of their number, so that long material does not drown a short instruction."""

    signs: list[int]
    near: set[int]
    words: set[int]
    system: set[int]


def see(request: Request, traits: Traits) -> Seen:
    """The features of `request`; `traits` holds the rules' findings. Pure; never raises on any text."""
    text = _edges(request.text)
    words, count = _words(text)
    signs = _signs(request, text, count, traits)
    near = _hashed(words[:_NEAR_WORDS], _OPENING) | _hashed(words[-_NEAR_WORDS:], _CLOSE)
    system = system_prompt(request.body)
    return Seen(
        signs,
        near,
        _hashed(_ends(words, _FIRST_WORDS, _LAST_WORDS), _ANYWHERE),
        _hashed(_ends(_words(system)[0], _FIRST_SYSTEM, _LAST_SYSTEM), _SYSTEM) if system else set(),
    )


def _ends(words: list[bytes], first: int, last: int) -> list[bytes]:
    return words if len(words) <= first + last else words[:first] + words[-last:]


def offers_tools(body: Json) -> bool:
    """Whether the model may answer with a tool call."""
    return bool(body.get("tools") or body.get("functions")) and body.get("tool_choice") != "none"


def system_prompt(body: Json) -> str:
    """The edges of the first message's text if it is an instruction; empty otherwise."""
    try:
        first = body["messages"][0]
        if first["role"] not in _IMPERATIVE_ROLES:
            return ""
        content = first["content"]
    except (LookupError, TypeError):
        return ""
    if content.__class__ is list:
        content = "\n".join([part["text"] for part in content[:8] if _is_text(part)])
    return _edges(content) if content.__class__ is str else ""


def _is_text(part: Any) -> bool:
    return part.__class__ is dict and part.get("text").__class__ is str


def _edges(text: str) -> str:
    if len(text) <= 2 * EDGE_CHARS:
        return text
    return f"{text[:EDGE_CHARS]} {text[-EDGE_CHARS:]}"


def _words(text: str) -> tuple[list[bytes], int]:
    """The words of `text` in lower case, and their number: in texts without spaces, those in the middle are
    only counted."""
    if text.isascii():
        words = text.encode().translate(_SPACED).split()
        return words, len(words)
    head = text[:_DENSE_CHARS]
    dense = _without_spaces(head.encode("utf-8", "replace"), len(head))
    if dense and len(text) > 2 * _DENSE_CHARS:
        text = head + text[-_DENSE_CHARS:]
    data = without_signs(text.lower().encode("utf-8", "replace"))
    for first, signs_of_it in _SIGNS_OF:
        if first in data:
            for each in signs_of_it:
                data = data.replace(each, b" ")
    if dense:
        words = data.translate(_ONLY_ASCII).split()[:_NEAR_WORDS]
        pairs, count = _pairs(data)
        return words + pairs, len(words) + count
    words = data.translate(_SPACED).split()
    return words, len(words)


def _without_spaces(data: bytes, chars: int) -> bool:
    """Whether a quarter of the characters are Han, kana or Thai."""
    count = data.count
    dense = count(b"\xe3\x81") + count(b"\xe3\x82") + count(b"\xe3\x83") + count(b"\xe0\xb8")
    return (dense + sum(map(count, _BOUNDLESS))) * 4 >= chars


def _pairs(data: bytes) -> tuple[list[bytes], int]:
    """Each character with the next, ignoring white space: the first and last pairs, and the number of all."""
    wide = "".join(data.decode("utf-8", "replace").split()).encode("utf-16-le", "replace")
    starts = range(0, max(len(wide) - 2, 2), 2)
    read = starts if len(starts) <= _READ else (*starts[:_FIRST_WORDS], *starts[-_LAST_WORDS:])
    return [wide[at : at + 4] for at in read], len(starts)


def _hashed(words: list[bytes], where: int) -> set[int]:
    """Words, their beginnings and pairs of adjacent words as 32-bit numbers."""
    single = list(map(crc32, words, repeat(where)))
    found = set(single)
    found.update(map(crc32, words[1:], single))
    found.update(map(crc32, _stems(words), repeat(where ^ _STEM)))
    return found


def _stems(words: list[bytes]) -> list[bytes]:
    """The beginnings of long words, which drops their endings: five letters, or three of Asian scripts."""
    return [
        word[:5] if word[0] < 0xC3 else word[:8] if word[0] < 0xE0 else word[:9]
        for word in words
        if len(word) > 5
    ]


def sign(name: str) -> int:
    return crc32(name.encode(), _SIGN)


def _table(names: str) -> dict[str, int]:
    return {name: sign(name) for name in names.split()}


ALWAYS = sign("always")
_SIZES = tuple(sign(f"words {step}") for step in range(9))
_LINES = tuple(sign(f"lines {step}") for step in range(5))
_SAID = _table(
    "qa faq summarise classify tag sentiment extract translate rewrite code reason creative chat agent_step "
    "other"
)
_S = _table(
    "question ends-question fence format image url turns tool-last digits many-digits equation system "
    "ends-colon quote brace tag-signs at-sign blank-line bullets support software"
)
_MARKS = (
    ("\n\n", _S["blank-line"]),
    ("http", _S["url"]),
    ("```", _S["fence"]),
    ("{", _S["brace"]),
    ("</", _S["tag-signs"]),
    ("@", _S["at-sign"]),
    ("\n-", _S["bullets"]),
    ("=", _S["equation"]),
    ('"', _S["quote"]),
)


def _signs(request: Request, text: str, words: int, traits: Traits) -> list[int]:
    """Features of form. Expensive ones are computed on the edges only."""
    found = [ALWAYS, _SIZES[min(words.bit_length(), 8)], _LINES[min(text.count("\n").bit_length(), 4)]]
    known = _SAID.get(traits.task)
    if known is not None:
        found.append(known)
    if traits.domain == "support" or traits.domain == "software":
        found.append(_S[traits.domain])
    found += [number for mark, number in _MARKS if mark in text]
    asks = text.count("?") + text.count("？") + text.count("؟")
    if asks:
        found.append(_S["question"])
        if text[-2:].strip()[-1:] in ("?", "？", "؟"):
            found.append(_S["ends-question"])
    elif text[-2:].strip()[-1:] in (":", "："):
        found.append(_S["ends-colon"])
    head = text[:200]
    digits = sum([head.count(digit) for digit in "0123456789"])
    if digits:
        found.append(_S["digits"])
        if digits * 10 > len(head):
            found.append(_S["many-digits"])
    _signs_of_body(request.body, found)
    return found


def _signs_of_body(body: Json, found: list[int]) -> None:
    if body.get("response_format"):
        found.append(_S["format"])
    messages = body.get("messages")
    if messages.__class__ is not list or not messages:
        return
    if len(messages) > 3:
        found.append(_S["turns"])
    first, last = messages[0], messages[-1]
    if first.__class__ is dict and first.get("role") in _IMPERATIVE_ROLES:
        found.append(_S["system"])
    if last.__class__ is dict:
        if last.get("role") in _TOOL_ROLES:
            found.append(_S["tool-last"])
        content = last.get("content")
        if content.__class__ is list and any(
            part.__class__ is dict and part.get("type") == "image_url" for part in content[:_PARTS_MAX]
        ):
            found.append(_S["image"])
