"""Whether a streamed answer that broke off may go on with another call, whom to ask, and for what.

Only a text goes on: one choice, nothing of it a call of a tool, thinking or a source, held to no schema and
without probabilities. What has ended, also by a refusal or its limit, has not broken.
"""

from collections.abc import Callable, Mapping, Sequence

from farthing.dialects.conversation import Conversation
from farthing.errors import InvalidRequest, forget_frames
from farthing.models.continuing.delivered import TEXT_CHARS_MAX, Watched
from farthing.models.continuing.forms import FormOf
from farthing.models.continuing.spliced import Spliced
from farthing.models.hedging.terms import may_be_asked_twice
from farthing.models.providers.translated import conversation_of
from farthing.models.stream import Stream
from farthing.types import (
    FULL,
    Json,
    Prefill,
    Prompt,
    Receipt,
    Request,
    Route,
    Target,
    choices_said,
    is_left_for_now,
    replace,
)

LIMITS = ("max_tokens", "max_completion_tokens")
REFUSED_S = 3_600.0  # a target that refused to go on is not asked to again for as long
REFUSED_MAX = 1_000
MORE_THAN_TEXT = frozenset({"audio", "modalities", "web_search_options"})
"""Fields that ask for sounds, or for sources."""
HALVES = ("\ud800", "\udfff")
UNKNOWN_CHARACTER = "\ufffd"
TURN_TOKENS = 8
"""What a message takes beside its text, at most."""


class Continuing:
    """The terms of one configuration. Belongs to one event loop."""

    def __init__(
        self,
        *,
        everywhere: bool,
        endpoints: Mapping[str, bool],
        times_max: int,
        attempts_max: int,
        forms: Mapping[str, FormOf],
        clock: Callable[[], float],
    ) -> None:
        """`everywhere`: for the endpoints that are not in `endpoints`. `forms`: how the targets of each
        provider go on."""
        self._everywhere = everywhere
        self._endpoints = endpoints
        self.times_max = times_max
        self.attempts_max = attempts_max
        self._forms = forms
        self._clock = clock
        self._refused: dict[tuple[str, str], float] = {}
        """Tenants and targets that refused to go on with an answer of theirs, and until when that is
        believed. It may have been another field of the client's, which is no matter of other tenants."""

    def watches(self, request: Request, receipt: Receipt) -> bool:
        """Whether an answer to `request` may have to go on, so that what its client has is to be known."""
        if not request.stream or not self._endpoints.get(request.endpoint.name, self._everywhere):
            return False
        return choices_said(request.body) == 1 and may_be_asked_twice(request, receipt)

    def begun(self, watched: Watched, stream: Stream, request: Request, prompt: Prompt) -> str | None:
        """The text that is to be gone on with; None: the answer cannot be."""
        if stream.reader.finished or not stream.reader.whole_in_form:
            return None
        text = watched.text("chat" if request.sent is None else request.sent.dialect)
        if text is None:
            return None
        said = _said_in(prompt)
        return text if said is not None and is_plain(said) and may_go_on(text, said.stop) else None

    def begun_again(self, text: str, spliced: Spliced, stream: Stream, prompt: Prompt) -> str | None:
        """As `begun`, of an answer that went on from `text` and broke off once more."""
        if stream.reader.finished or not spliced.plain:
            return None
        text += "".join(spliced.sent)
        said = _said_in(prompt)
        if said is None or len(text) > TEXT_CHARS_MAX or not may_go_on(text, said.stop):
            return None
        return text

    def _goes_on(self, target: Target, tenant: str) -> bool:
        """Whether `target` goes on with what is begun, and has not refused to."""
        form = self._forms.get(target.provider)
        if form is None or form(target) is None:
            return False
        return self._refused.get((tenant, target.name), 0.0) <= self._clock()

    def asked(self, route: Route, broke: Target, receipt: Receipt, tenant: str) -> list[Target]:
        """Whom to ask to go on, in order: those that follow the target whose answer `broke` off, those before
        it, then itself."""
        targets = route.targets
        at = next((place for place, one in enumerate(targets) if one.name == broke.name), -1)
        others = (*targets[at + 1 :], *targets[: max(at, 0)])
        left = self.attempts_max - len(receipt.attempts)
        able = [
            one
            for one in (*others, broke)
            if is_left_for_now(receipt.skipped.get(one.name, FULL)) and self._goes_on(one, tenant)
        ]
        return able[: max(0, left)]

    def prompt(self, prompt: Prompt, target: Target, text: str, tokens: int) -> tuple[Prompt, str] | None:
        """What to ask `target`, and the white space at the end of `text` that it is not shown; the text has
        `tokens`. None: the answer is as long as it may be, or the window too small."""
        form = self._forms[target.provider](target)
        if form is None:
            return None
        limit, body = prompt.output_tokens_max, prompt.body
        if limit is not None:
            limit -= tokens
            if limit < 1:
                return None
            body = _lowered(body, limit)
        input_tokens = prompt.input_tokens + tokens + TURN_TOKENS
        window, bound = target.context_tokens_max, prompt.input_tokens_bound
        if window is not None and input_tokens >= window:
            return None
        shown = text.rstrip() if form == "last" else text
        going_on: Prompt = replace(
            prompt,
            body=body,
            input_tokens=input_tokens,
            input_tokens_bound=None if bound is None else bound + len(shown.encode()) + TURN_TOKENS,
            output_tokens_max=limit,
            prefill=Prefill(shown, form),
        )
        return going_on, text[len(shown) :]

    def refused(self, tenant: str, target: Target) -> None:
        """Remember that `target` refused to go on."""
        if len(self._refused) >= REFUSED_MAX:
            self._refused.clear()
        self._refused[tenant, target.name] = self._clock() + REFUSED_S


def _said_in(prompt: Prompt) -> Conversation | None:
    try:
        return conversation_of(prompt)
    except InvalidRequest as error:  # a provider of its own dialect may know what we do not
        forget_frames(error)
        return None


def may_go_on(text: str, stops: Sequence[str]) -> bool:
    """Whether a text can be gone on with where it ends: it says something, ends with a whole character, and
    not within what may be one of `stops`."""
    if not text.strip() or text.endswith(UNKNOWN_CHARACTER) or HALVES[0] <= text[-1] <= HALVES[1]:
        return False
    return not any(text.endswith(stop[:size]) for stop in stops for size in range(1, len(stop) + 1))


def is_plain(said: Conversation) -> bool:
    """Whether plain text is asked for, without thinking before it."""
    choice, thinking = said.choice, said.thinking
    if said.format is not None or said.logprobs is not None or not said.turns:
        return False
    if not MORE_THAN_TEXT.isdisjoint(said.extras):
        return False
    if choice.mode in ("required", "named") or choice.must or said.turns[-1].role == "assistant":
        return False
    value = thinking.value
    off = value is None or (isinstance(value, dict) and value.get("type") == "disabled")
    return off and thinking.budget_tokens is None and thinking.effort in ("", "none")


def _lowered(body: Json, limit: int) -> Json:
    """`body` with a lower limit of output, under the names it has there."""
    return {**body, **{name: limit for name in LIMITS if body.get(name) is not None}}
