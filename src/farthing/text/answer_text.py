"""The text of a stored answer, and whether two answers say the same, word for word. Pure functions."""

import re
import unicodedata
from typing import Any

import msgspec

from farthing.text.unicode_normalize import composed
from farthing.types import CacheHit, replace

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_PLAIN = frozenset({"role", "content", "refusal", "annotations", "name"})
"""Fields of a message, or a part of one, that are text or mean nothing if empty."""
_DONE = b"[DONE]"
_THOUSANDS = re.compile(r"(?<=\d)[,'’](?=\d{3}\b)")  # noqa: RUF001  (some write an apostrophe)
_WORDS = re.compile(r"[^\W_]+(?:[.,:/-]\d+)*|[%$€£¥+<>=-](?=\s?\d)|%")

_OPERATORS = re.compile(r"[<>=!]=+|=>|->|&&|\|\|")
_SELECTORS = frozenset("\ufe0e\ufe0f")


class Unplain(Exception):
    """The answer is not one plain text: several choices, a tool call, audio, a model's refusal."""


def text_of(hit: CacheHit) -> str | None:
    """The text of an answer; None if it is not one plain text."""
    try:
        if hit.streamed:
            return "".join(text for _, _, text in _pieces(hit.body))
        whole = _decode(hit.body)
        (choice,) = whole["choices"]
        return _text(choice["message"])
    except (Unplain, msgspec.DecodeError, LookupError, TypeError, ValueError):
        return None


def with_text(hit: CacheHit, text: str) -> CacheHit | None:
    """The answer with another text; None if that is impossible. In a stream the whole text replaces the first
    piece."""
    try:
        body = _streamed(hit.body, text) if hit.streamed else _whole(hit.body, text)
    except (Unplain, msgspec.DecodeError, LookupError, TypeError, ValueError):
        return None
    return replace(hit, body=body)  # type: ignore[no-any-return]


def agree(fresh: str, stored: str) -> bool:
    """Whether both say the same in the same words and signs, ignoring case, spaces, punctuation, markup, and
    how thousands are written in numbers."""
    return _words(fresh) == _words(stored) and _signs(fresh) == _signs(stored)


def _words(text: str) -> list[str]:
    return _WORDS.findall(_THOUSANDS.sub("", text).casefold())


def _signs(text: str) -> list[str]:
    """Operators and, beyond ASCII, symbols and the marks of letters, which are parts of no word: they
    distinguish texts in Thai, or answers of one emoji."""
    operators = _OPERATORS.findall(text)
    if text.isascii():
        return operators
    text = composed(text)
    telling = {char for char in set(text) if not char.isascii() and unicodedata.category(char)[0] in "SM"}
    telling -= _SELECTORS
    return operators + [char for char in text if char in telling]


def _text(message: Any) -> str:
    for name, value in message.items():
        if name not in _PLAIN and value:
            if name in ("reasoning", "reasoning_content", "reasoning_details"):
                continue  # the reasoning; only the answer is compared
            raise Unplain
    if message.get("refusal"):
        raise Unplain
    content = message.get("content")
    if content is None:
        return ""
    if not isinstance(content, str):
        raise Unplain
    return content


def _pieces(body: bytes) -> list[tuple[int, Any, str]]:
    """Index, JSON and text of each event of a stream."""
    found = []
    for place, event in enumerate(body.split(b"\n\n")):
        data = event.strip().removeprefix(b"data:").strip()
        if not data or data == _DONE:
            continue
        chunk = _decode(data)
        choices = chunk.get("choices") or []
        if len(choices) > 1 or any(choice.get("index", 0) != 0 for choice in choices):
            raise Unplain
        found.append((place, chunk, "".join(_text(choice.get("delta") or {}) for choice in choices)))
    return found


def _whole(body: bytes, text: str) -> bytes:
    whole = _decode(body)
    (choice,) = whole["choices"]
    _text(choice["message"])
    choice["message"]["content"] = text
    return _encode(whole)


def _streamed(body: bytes, text: str) -> bytes:
    events = body.split(b"\n\n")
    for place, chunk, piece in _pieces(body):
        if piece:
            chunk["choices"][0]["delta"]["content"] = text
            text = ""
            events[place] = b"data: " + _encode(chunk)
    if text:
        raise Unplain
    return b"\n\n".join(events)
