"""Guardrails over text. They fail closed: what cannot be checked does not pass."""

from collections.abc import Sequence

from farthing.config import GuardRule
from farthing.errors import Blocked
from farthing.protocols import Guardrail
from farthing.types import Request


class DenyGuard:
    """Blocks text that holds a phrase of a rule; letter case and runs of white space are ignored."""

    def __init__(self, rules: Sequence[GuardRule]) -> None:
        self._rules = tuple(
            (rule, tuple(filter(None, (" ".join(p.casefold().split()) for p in rule.contains))))
            for rule in rules
        )
        phrases = {phrase for _, phrases in self._rules for phrase in phrases}
        self._first_words = tuple(sorted({phrase.split(" ", 1)[0] for phrase in phrases}))

    def check(self, text: str) -> None:
        """Raises:
        Blocked: `text` holds a phrase. The message names the rule, never the text.
        """
        folded = text.casefold()
        # A phrase is not there unless its first word is: folding white space costs more than these tests.
        for word in self._first_words:
            if word in folded:
                break
        else:
            return
        folded = " ".join(folded.split())
        for rule, phrases in self._rules:
            for phrase in phrases:
                if phrase in folded:
                    raise Blocked(rule.message or f'the request was refused by the rule "{rule.name}"')


def guard_request(request: Request, guardrails: Sequence[Guardrail]) -> None:
    """Check every text of `request`, its history included.

    Raises:
        Blocked: one of them must not pass.
    """
    if not guardrails:
        return
    texts = [request.text, *_inputs(request)]
    for message in request.body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            texts += [
                part["text"]
                for part in content
                if isinstance(part, dict) and isinstance(part.get("text"), str)
            ]
    for guardrail in guardrails:
        for text in texts:
            guardrail.check(text)


def _inputs(request: Request) -> list[str]:
    """Every text to be embedded; `request.text` holds but the first of a long list."""
    given = request.body.get("input")
    if isinstance(given, str):
        return [given]
    return [text for text in given if isinstance(text, str)] if isinstance(given, list) else []
