"""Guardrails over text. They fail closed: text that cannot be checked does not pass."""

import asyncio
from collections.abc import Iterator, Sequence

from farthing.config import GuardRule
from farthing.dialects.passing.operations import PASSING, texts_of
from farthing.errors import Blocked
from farthing.protocols import AsyncGuardrail, Guardrail
from farthing.types import Request

WINDOW_CHARS = 65_536  # folding this many takes one or two milliseconds, the longest that other requests wait
ONE_TEXT = frozenset({
    "text", "input_text", "output_text", "image_url", "input_image", "image", "file", "input_file",
    "input_audio", "audio", "video_url", "input_video", "video",
})  # fmt: skip
"""Kinds of parts of which no more is read than their `text`, if they have one."""
NO_TEXT = frozenset({"type", "encrypted_content", "signature"})


class DenyGuard:
    """Blocks text that contains a phrase of a rule; letter case and runs of white space are ignored."""

    immediate = True

    def __init__(self, rules: Sequence[GuardRule]) -> None:
        self._rules = tuple(
            (rule, tuple(filter(None, (" ".join(p.casefold().split()) for p in rule.contains))))
            for rule in rules
        )
        phrases = {phrase for _, phrases in self._rules for phrase in phrases}
        self._first_words = tuple(sorted({phrase.split(" ", 1)[0] for phrase in phrases}))
        self._phrase_chars_max = max(map(len, phrases), default=0)

    def check(self, text: str) -> None:
        """Raises:
        Blocked: `text` contains a phrase. The message names the rule, never the text.
        """
        if len(text) > WINDOW_CHARS:
            for _ in self.check_long(text):
                continue
            return
        folded = text.casefold()
        # A phrase cannot occur unless its first word does: folding white space costs more than these tests.
        for word in self._first_words:
            if word in folded:
                self._search(" ".join(folded.split()))
                return

    def check_long(self, text: str) -> Iterator[None]:
        """Like `check`, in windows, yielding to other requests after each.

        The end of a window that may begin a phrase, with its white space already folded, is prepended to the
        next window: a phrase is found however its words are spread.
        """
        kept = ""
        for begin in range(0, len(text), WINDOW_CHARS):
            folded = kept + text[begin : begin + WINDOW_CHARS].casefold()
            if any(word in folded for word in self._first_words):
                ended = folded[-1:].isspace()
                folded = " ".join(folded.split())
                self._search(folded)
                if ended:
                    folded += " "
            kept = folded[-self._phrase_chars_max :] if self._phrase_chars_max else ""
            yield

    def _search(self, folded: str) -> None:
        for rule, phrases in self._rules:
            for phrase in phrases:
                if phrase in folded:
                    raise Blocked(rule.message or f'the request was blocked by the rule "{rule.name}"')


async def guard_request(
    request: Request, guardrails: Sequence[Guardrail], plugins: Sequence[AsyncGuardrail] = ()
) -> None:
    """Check every text of `request`, including its history; then let each of `plugins` see them. Other
    requests run between the windows of a long text; a short one is checked in one go.

    Raises:
        Blocked: a text must not pass. GuardrailFailed: a plug-in cannot tell.
    """
    texts = _texts(request)
    if request.prompt_chars > WINDOW_CHARS:
        await _guard_long(texts, guardrails)
    else:
        for guardrail in guardrails:
            for text in texts:
                guardrail.check(text)
    for plugin in plugins:
        await plugin.check(texts)


async def _guard_long(texts: list[str], guardrails: Sequence[Guardrail]) -> None:
    unpaused_chars = 0
    for guardrail in guardrails:
        for text in texts:
            unpaused_chars += len(text)
            if unpaused_chars <= WINDOW_CHARS:
                guardrail.check(text)
                continue
            unpaused_chars = 0
            for _ in guardrail.check_long(text):
                await asyncio.sleep(0)


def _texts(request: Request) -> list[str]:
    """Every text, once. `request.text` is one of the messages, or the first of a long list of inputs. The
    parts of a message are joined into one text."""
    body = request.body
    passing = PASSING.get(request.operation)
    if passing is not None:
        return list(texts_of(passing, body))
    texts = [] if "input" not in body else _inputs(request)
    for message in body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            texts.append("\n".join(filter(None, map(_text_of, content))))
    return texts


def _text_of(part: object) -> str:
    """The text of a part; empty if it has none. What only one dialect knows (a document that is text, what a
    search found) is looked through for all that a model may read in it."""
    if not isinstance(part, dict):
        return part if isinstance(part, str) else ""
    kind = part.get("type")
    if kind.__class__ is not str or kind in ONE_TEXT:
        text = part.get("text")
        return text if isinstance(text, str) else ""
    return "\n".join(_texts_in(part))


def _texts_in(part: object) -> Iterator[str]:
    """Every text in any JSON but names and encoded data, in its order."""
    rest = [part]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            if not value.startswith("data:"):
                yield value
        elif isinstance(value, list):
            rest.extend(reversed(value))
        elif isinstance(value, dict) and value.get("type") != "base64":
            rest.extend([item for name, item in reversed(value.items()) if name not in NO_TEXT])


def _inputs(request: Request) -> list[str]:
    """The texts to embed: each one, and the first few joined in order."""
    given = request.body["input"]
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        return []
    return [request.text, *(text for text in given if isinstance(text, str))]
