"""What targets have said of themselves in refusals: a parameter that one does not take is learnt once.

Only a refusal that says of exactly one field of the request that it is not supported teaches anything: that a
value is out of range, or that a message is wrong, is the client's matter. What was learnt is forgotten after
a day, since models change behind their names.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct

from farthing.dialects.chat.fields import FIELDS
from farthing.dialects.chat.requests.fitting import LIMITS, NOTHING_LEARNT, Learnt, LimitName
from farthing.errors import ProviderRejected
from farthing.runtime.redact import without_asked
from farthing.text.lenient_json import write_json
from farthing.types import Json, Prompt, replace

REFUSALS = frozenset({400, 422})
TARGETS_MAX = 500
FIELDS_MAX = 32  # of one target; more is a server that refuses everything
KEPT_S = 86_400.0
VALUE_CHARS_MAX = 64
UNKNOWN = frozenset({"unsupported_parameter", "unknown_parameter", "unsupported_value"})
"""Codes that say that a field, or any value of it but one, is not taken."""
PHRASES = (
    "not supported", "unsupported", "does not support", "doesn't support", "not permitted", "unrecognized",
    "unknown parameter", "unknown field", "unexpected keyword", "unexpected field", "is not allowed",
    "cannot be set",
)  # fmt: skip
"""What refusals say that have no such code."""
CONDITIONS = re.compile(r"(?i)\b(when|if|unless|while|together|combination|stream|streaming|effort)\b")
"""What makes a refusal one of this request alone: others may have the field."""
OF_REASONING = frozenset({"temperature", "top_p", "logprobs", "top_logprobs"})
"""Fields that some models take as long as they do not reason."""
NO_SUCH_FIELD = frozenset({"unsupported_parameter", "unknown_parameter"})
CHOICES = frozenset({
    "modalities", "reasoning", "reasoning_effort", "response_format", "service_tier", "thinking",
    "tool_choice", "verbosity",
})  # fmt: skip
"""Fields of few values, of which others may be taken where one is refused."""
NEVER = frozenset({"messages", "model", "stream", "tools", "functions"})
"""Without these there is no request, or another one."""
BETA = re.compile(r"[a-z0-9-]{1,50}-20\d\d-?\d\d-?\d\d", re.ASCII)
"""How betas of Messages are called; other names may be a client's own."""
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CAMEL = re.compile(r"(?<=[a-z])[A-Z]")


class Refusal(Struct, frozen=True):
    """One field that a target does not take."""

    field: str
    instead: LimitName | None = None
    """The other name of the limit of output, if `field` is one of them."""
    value: str | None = None
    """The value that is not taken; None: no other is either."""


class Known(Struct):
    """What is known of one model, and until when that is believed, by the clock of its `Lessons`."""

    learnt: Learnt
    until_s: float


class Lessons:
    """What the targets of one provider were seen to refuse."""

    def __init__(self, clock: Callable[[], float], noted: Callable[[], None] | None = None) -> None:
        """`noted` is called after something was learnt."""
        self._clock = clock
        self._noted = noted
        self._known: dict[str, Known] = {}
        self.known = False
        """Whether anything was ever learnt."""

    def of(self, model: str) -> Learnt:
        """What is known of a model."""
        known = self._known.get(model)
        if known is None:
            return NOTHING_LEARNT
        if self._clock() >= known.until_s:
            del self._known[model]
            return NOTHING_LEARNT
        return known.learnt

    def note(self, model: str, refusal: Refusal) -> None:
        """Remember it, unless too much is known of the model already."""
        learnt = self.of(model)
        if refusal.instead is not None:
            learnt = replace(learnt, limit=refusal.instead)
        elif len(learnt.refused) + len(learnt.values) >= FIELDS_MAX:
            return
        elif refusal.value is None:
            learnt = replace(learnt, refused=learnt.refused | {refusal.field})
        elif len(refusal.value) <= VALUE_CHARS_MAX:
            learnt = replace(learnt, values=learnt.values | {(refusal.field, refusal.value)})
        self._keep(model, learnt)

    def note_betas(self, model: str, refused: Iterable[frozenset[str]]) -> bool:
        """Remember sets of betas, of each of which one at least is refused. Returns whether that is news."""
        learnt = self.of(model)
        found = learnt.betas.union(refused)
        if found == learnt.betas or len(found) > FIELDS_MAX:
            return False
        self._keep(model, replace(learnt, betas=found))
        return True

    def _keep(self, model: str, learnt: Learnt) -> None:
        if model not in self._known and len(self._known) >= TARGETS_MAX:
            del self._known[next(iter(self._known))]
        self._known[model] = Known(learnt, self._clock() + KEPT_S)
        self.known = True
        if self._noted is not None:
            self._noted()

    def lasting(self) -> dict[str, Known]:
        """What is believed now, by model, but for values that may be a client's own."""
        now_s = self._clock()
        found = {}
        for model, known in self._known.items():
            values = frozenset(one for one in known.learnt.values if one[0] in CHOICES)
            betas = frozenset(one for one in known.learnt.betas if all(map(BETA.fullmatch, one)))
            learnt: Learnt = replace(known.learnt, values=values, betas=betas)
            if known.until_s > now_s and learnt != NOTHING_LEARNT:
                found[model] = Known(learnt, known.until_s)
        return found

    def restore(self, known: Mapping[str, Known]) -> None:
        """Take what `lasting` gave before; of each no more than is learnt, nor for longer."""
        now_s = self._clock()
        for model, one in list(known.items())[-TARGETS_MAX:]:
            until_s = min(one.until_s, now_s + KEPT_S)
            names = one.learnt.refused | {field for field, _ in one.learnt.values}
            betas = one.learnt.betas
            known_betas = len(betas) <= FIELDS_MAX and all(
                BETA.fullmatch(name) for all_of in betas for name in all_of
            )
            if until_s > now_s and len(names) <= FIELDS_MAX and names <= FIELDS - NEVER and known_betas:
                self._known[model] = Known(one.learnt, until_s)
                self.known = True


def refusal_of(error: ProviderRejected, body: Json) -> Refusal | None:
    """The field of `body` that a refusal names as one that the target does not take; None: it names none, or
    says something else. What it repeats of the request is not its own word: one client must not be able to
    teach what all others are then refused."""
    if error.upstream_status not in REFUSALS or error.unasked:
        return None
    said = error.said or {}
    code, param = str(said.get("code")), said.get("param")
    own_names = [name for name in body if name not in FIELDS]
    words = without_asked(error.words, {**body, "": own_names} if own_names else body)
    if words is None:  # too long a request to compare
        words = error.words if code in UNKNOWN and param in body else ""
    if code not in UNKNOWN and not any(phrase in words.lower() for phrase in PHRASES):
        return None
    if CONDITIONS.search(words):
        return None
    named = [name for name in (param, *_words(words)) if name in FIELDS]
    if "messages" in named and param not in body:
        return None  # of a part of a message, whose fields have names of their own
    there = [name for name in dict.fromkeys(named) if name in body and name not in NEVER]
    field = param if isinstance(param, str) and param in there else there[0] if there else None
    if field in OF_REASONING and body.get("reasoning_effort"):
        return None
    if field is None or (field != param and len(there) > 1 and not set(there) <= set(LIMITS)):
        return None
    if field not in LIMITS:
        value = body[field]
        if isinstance(value, str) and value and value in error.words:
            return Refusal(field, value=value)
        return None if field in CHOICES and code not in NO_SUCH_FIELD else Refusal(field)
    instead: LimitName = "max_completion_tokens" if field == "max_tokens" else "max_tokens"
    if instead in body or not (instead in named or field == param or code in UNKNOWN):
        return None
    return Refusal(field, instead)


def is_asked(words: str, prompt: Prompt) -> bool:
    """Whether the request itself says `words`, which are in small letters: those of Unicode, since a reply is
    compared so."""
    sent = prompt.sent
    bodies = (prompt.body,) if sent is None else (prompt.body, sent.body)
    return any(words in write_json(body).decode("utf-8", "replace").lower() for body in bodies)


def _words(words: str) -> Iterator[str]:
    """Words that may be names of fields, in their order."""
    for word in _WORD.findall(words):
        yield word
        if _CAMEL.search(word):  # presencePenalty
            yield _CAMEL.sub(lambda found: f"_{found[0].lower()}", word)
