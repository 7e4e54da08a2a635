"""How providers' own token counts compare with ours, learned from the usage that they state.

For each family of models, kind of prompt and basis there is a window over the newest ratios of the
provider's input tokens to our number for the same prompt. Its median is the ratio, its 5th and 95th
percentiles are the error: no distribution is assumed, an outlier moves neither, and a change of tokeniser
has taken over after half a window. A window begins with five points of the family's prior, which are gone
after twenty requests, the most wrong first.

Only text is compared: prompts with images, audio or files teach nothing. What a provider states is believed
within bounds: a ratio stays within `TRUST` times what its family's prior spans, and what is beyond that
teaches nothing before a provider has stated it `BEYOND_MIN` times in a row. Sans-I/O; one event loop.
Bounded: at most `FAMILIES_MAX` families, the least recently used is forgotten.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from typing import Final

from farthing.models.tokens.families import Spread, prior
from farthing.stores import token_ratios
from farthing.stores.token_ratios import SAMPLES_MAX, Basis, Kind, Ratio, family_of
from farthing.types import Json, Prompt, Target, TokenCount, Usage

FAMILIES_MAX: Final = 128
SHORT_TOKENS: Final = 128
"""Prompts below this are a kind of their own: what the chat format adds is a share of them that counts."""
LEARNED_MIN_TOKENS: Final = 8
TRUST: Final = 4.0
"""No tokeniser is off a prior by more than this factor: what a provider states beyond it is cut to it."""
TRUST_SHORT: Final = 16.0
"""Of short prompts: a provider may put a system prompt of its own before them."""
BEYOND_MIN: Final = 16
"""So many times in a row a provider must state more, or less, before that is what it counts and no fault."""
PRIOR_POINT_EVERY: Final = 4
"""How many requests take the place of one point of the prior."""
SURELY: Final = 0.9
"""What a prompt surely has is this part of the least that is likely."""
EVERY: Final = 8
"""Once a window is full, one request in so many is learned from."""
SUMMED_EVERY: Final = 8
"""How many new ones the summary of a full window may lack."""
_SCRIPT_SAMPLE_CHARS = 256
_OTHER_SHARE = 8  # one extra byte in so many characters makes it another script


class Window:
    """The newest ratios of one family, basis and kind of prompt."""

    __slots__ = ("_beyond", "_fresh", "_least", "_most", "_points", "_prior", "samples", "spread")

    def __init__(self, begin: Spread, trust: float = TRUST) -> None:
        middle, low, high = map(math.log, begin)
        self._least, self._most = low - math.log(trust), high + math.log(trust)
        self._prior = [low, (low + middle) / 2, middle, (middle + high) / 2, high]
        self._points: deque[float] = deque(maxlen=SAMPLES_MAX)
        self.samples = 0
        """Learned from, ever."""
        self._fresh = 0
        self._beyond = 0
        """The last so many were beyond trust."""
        self.spread: Spread = begin
        """Median, 5th and 95th percentile."""

    def add(self, ours: int, told: int) -> None:
        """Add one prompt: our number of its tokens and the provider's, both above zero."""
        found = math.log(told / ours)
        trusted = self._trusted(found)
        self._beyond = 0 if trusted == found else self._beyond + 1
        if 0 < self._beyond < BEYOND_MIN:
            return
        self._points.append(trusted)
        self.samples += 1
        self._fresh += 1
        if self._prior and self.samples % PRIOR_POINT_EVERY == 0:
            middle = sorted(self._points)[len(self._points) // 2]
            self._prior.remove(max(self._prior, key=lambda point: abs(point - middle)))
        if self._prior or self._fresh >= SUMMED_EVERY:
            self._sum_up()

    def _trusted(self, found: float) -> float:
        return max(self._least, min(self._most, found))

    def _sum_up(self) -> None:
        self._fresh = 0
        ranked = sorted((*self._points, *self._prior))
        last = len(ranked) - 1
        low, high = ranked[int(0.05 * last)], ranked[math.ceil(0.95 * last)]
        middle = (ranked[last // 2] + ranked[(last + 1) // 2]) / 2
        self.spread = math.exp(middle), math.exp(low), math.exp(high)

    def told(self, family: str, basis: Basis, kind: Kind) -> Ratio:
        """The row for the file."""
        self._sum_up()
        middle, low, high = self.spread
        return Ratio(
            family=family,
            basis=basis,
            kind=kind,
            ratio=middle,
            low=low,
            high=high,
            samples=self.samples,
            logs=[round(one, 5) for one in self._points],
        )

    def take(self, told: Ratio) -> None:
        """Restore a saved row."""
        if told.logs:
            self._points = deque(map(self._trusted, told.logs), maxlen=SAMPLES_MAX)
            self.samples = told.samples
            del self._prior[max(0, 5 - told.samples // PRIOR_POINT_EVERY) :]
            self._sum_up()


class _Family:
    """One family of models."""

    __slots__ = ("name", "pause", "windows")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pause = 0
        """Requests that need not be learned from."""
        self.windows: dict[tuple[Basis, Kind], Window] = {}

    def window(self, basis: Basis, kind: Kind) -> Window:
        found = self.windows.get((basis, kind))
        if found is None:
            trust = TRUST_SHORT if kind == "short" else TRUST
            found = self.windows[basis, kind] = Window(prior(self.name, basis, kind), trust)
        return found


class TokenRatios:
    """The ratios of all families. Outlives a reload."""

    def __init__(self) -> None:
        self.changed = False
        """Whether anything was learned since `dump`."""
        self._families: OrderedDict[str, _Family] = OrderedDict()
        self._recent: dict[str, _Family] = {}
        """By target, to be found sooner."""

    # -- learning -----------------------------------------------------------------------------------

    def learn(self, target: Target, prompt: Prompt, usage: Usage) -> None:
        """Learn from a provider's count for a prompt; a count that teaches nothing is ignored."""
        family = self._recent.get(target.name)
        if family is not None and family.pause:  # most requests, once much was learned: 0.1 us
            family.pause -= 1
            return
        told, ours = usage.input_tokens, prompt.input_tokens
        if ours < LEARNED_MIN_TOKENS or not _teaches(prompt, usage):
            return
        kind = kind_of(prompt.body, ours)
        family = self._of(target.name)
        window = family.window("estimate", kind)
        window.add(ours, told)
        self.changed = True
        if window.samples > SAMPLES_MAX:
            family.pause = EVERY - 1

    def learn_counted(self, target: Target, prompt: Prompt, usage: Usage, kind: Kind, counted: int) -> None:
        """Learn from a provider's count for a prompt that was also counted with a vocabulary."""
        if counted >= LEARNED_MIN_TOKENS and _teaches(prompt, usage):
            self._of(target.name).window("count", kind).add(counted, usage.input_tokens)
            self.changed = True

    def _of(self, target: str) -> _Family:
        name = family_of(target)
        found = self._families.get(name)
        if found is None:
            found = self._families[name] = _Family(name)
            if len(self._families) > FAMILIES_MAX:
                self._families.popitem(last=False)
                self._recent.clear()
        else:
            self._families.move_to_end(name)
        if len(self._recent) >= 2 * FAMILIES_MAX:
            self._recent.clear()
        self._recent[target] = found
        return found

    # -- asking -------------------------------------------------------------------------------------

    def spread(self, target: str, basis: Basis, kind: Kind) -> Spread:
        """Median, 5th and 95th percentile of the ratio; the prior of the family before anything was learned.
        `target` may be a model without its provider: then that of any provider serves."""
        name = family_of(target)
        family = self._families.get(name)
        if family is None and "/" not in name:
            family = next((one for known, one in self._families.items() if known.endswith("/" + name)), None)
        window = None if family is None else family.windows.get((basis, kind))
        return prior(name, basis, kind) if window is None else window.spread

    def expected(
        self, target: str, tokens: int, kind: Kind | None = None, basis: Basis = "estimate"
    ) -> TokenCount:
        """The number that `target` is expected to count for a text prompt with this estimate, or count."""
        if kind is None:
            kind = "short" if tokens < SHORT_TOKENS else "latin"
        spread = self.spread(target, basis, kind)
        least = min(spread[1], prior(family_of(target), basis, kind)[1])
        return times(tokens, spread, least=SURELY * least)

    # -- keeping and showing ------------------------------------------------------------------------

    def rows(self) -> list[Ratio]:
        """Everything that was learned, by family, the least recently used first."""
        return [
            window.told(family.name, basis, kind)
            for family in self._families.values()
            for (basis, kind), window in family.windows.items()
            if window.samples
        ]

    def dump(self) -> bytes:
        self.changed = False
        return token_ratios.encode(self.rows())

    def restore(self, data: bytes) -> None:
        """Raises:
        ValueError: it is not what `dump` gave.
        """
        for row in token_ratios.decode(data):
            self._of(row.family).window(row.basis, row.kind).take(row)

    def families(
        self, shown: Collection[str] | None = None
    ) -> Iterable[tuple[str, str, str, Iterable[tuple[dict[str, str], float]]]]:
        """Name, type, help text and labelled values, for `GET /metrics`. Only families of the targets in
        `shown`, because clients invent models; None: all."""
        names = None if shown is None else frozenset(map(family_of, shown))
        rows = [
            window.told(family.name, basis, kind)
            for family in self._families.values()
            if names is None or family.name in names
            for (basis, kind), window in family.windows.items()
            if window.samples
        ]

        def values(of: Callable[[Ratio], float]) -> list[tuple[dict[str, str], float]]:
            return [({"family": one.family, "basis": one.basis, "kind": one.kind}, of(one)) for one in rows]

        yield (
            "farthing_token_ratio",
            "gauge",
            "Providers' own input tokens as a multiple of ours, median of the newest prompts.",
            values(lambda one: one.ratio),
        )
        yield (
            "farthing_token_ratio_error_share",
            "gauge",
            "How far off an estimate with the ratio is, as a share, for all but the worst tenth of prompts.",
            values(lambda one: one.error_share),
        )
        yield (
            "farthing_token_ratio_samples_total",
            "counter",
            "Prompts that the ratio was learned from.",
            values(lambda one: float(one.samples)),
        )


def _teaches(prompt: Prompt, usage: Usage) -> bool:
    """Whether a provider counted a chat prompt that contains only text."""
    return not (
        usage.estimated
        or usage.input_tokens <= 0
        or "messages" not in prompt.body
        or prompt.media_tokens
        or usage.image_input_tokens
        or usage.audio_input_tokens
        or usage.passes is not None
        or usage.fees is not None  # what a search found is in the input too
    )


def times(tokens: int, spread: Spread, least: float | None = None) -> TokenCount:
    """`tokens` of ours as the provider will count them; `least`: what a multiple surely is."""
    middle, low, high = spread
    if tokens <= 0:
        return TokenCount(tokens=0, low=0, high=0, least=0)
    return TokenCount(
        tokens=max(1, round(tokens * middle)),
        low=int(tokens * low),
        high=math.ceil(tokens * high),
        least=int(tokens * (low if least is None else least)),
    )


def kind_of(body: Json, tokens: int) -> Kind:
    """The kind of the prompt `body`, of about so many tokens, decided by its last message."""
    if tokens < SHORT_TOKENS:
        return "short"
    messages = body.get("messages")
    last = messages[-1] if messages.__class__ is list and messages else None
    content = last.get("content") if last.__class__ is dict else None
    if content.__class__ is list and content and content[-1].__class__ is dict:
        content = content[-1].get("text")
    if content.__class__ is not str or content.isascii():
        return "latin"
    sample = content[:_SCRIPT_SAMPLE_CHARS]
    extra = len(sample.encode("utf-8", "replace")) - len(sample)
    return "other" if extra * _OTHER_SHARE > len(sample) else "latin"
