"""Guardrails over text. They fail closed: what cannot be checked does not pass."""

import asyncio
from collections.abc import Iterator, Sequence

from farthing.config import GuardRule
from farthing.errors import Blocked
from farthing.protocols import AsyncGuardrail, Guardrail
from farthing.types import Request

WINDOW_CHARS = 65_536  # folding these takes a millisecond or two: what other requests may be made to wait


class DenyGuard:
    """Blocks text that holds a phrase of a rule; letter case and runs of white space are ignored."""

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
        Blocked: `text` holds a phrase. The message names the rule, never the text.
        """
        if len(text) > WINDOW_CHARS:
            for _ in self.check_long(text):
                continue
            return
        folded = text.casefold()
        # A phrase is not there unless its first word is: folding white space costs more than these tests.
        for word in self._first_words:
            if word in folded:
                self._search(" ".join(folded.split()))
                return

    def check_long(self, text: str) -> Iterator[None]:
        """As `check`, a window at a time, with a pause for others after each.

        What a phrase may have begun with at the end of a window, its white space already folded, stands
        before the next one: a phrase is found however its words are spread.
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
                    raise Blocked(rule.message or f'the request was refused by the rule "{rule.name}"')


async def guard_request(
    request: Request, guardrails: Sequence[Guardrail], plugins: Sequence[AsyncGuardrail] = ()
) -> None:
    """Check every text of `request`, its history included, by `guardrails` and then by `plugins`. Other
    requests go on between the windows of a long one; a short one is checked in one go.

    Raises:
        Blocked: one of them must not pass. GuardrailFailed: a plug-in cannot tell.
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
    """Every text, once: `request.text` is one of the messages, and holds but the first of a long list of
    inputs. The parts of a message are read as one text."""
    body = request.body
    texts = [] if "input" not in body else _inputs(request)
    for message in body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            texts.append("\n".join(filter(None, map(_text_of, content))))
    return texts


def _text_of(part: object) -> str:
    """The text of a part; empty when it has none."""
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""


def _inputs(request: Request) -> list[str]:
    """What is to be embedded: each text, and the first of them as they follow each other."""
    given = request.body["input"]
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        return []
    return [request.text, *(text for text in given if isinstance(text, str))]
