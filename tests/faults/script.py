"""The scripting language of the fault provider: text in, a `Plan` out. See the package's docstring."""

import dataclasses
import random
from collections.abc import Mapping
from typing import Any, Final, get_args, get_type_hints
from urllib.parse import unquote

ALIASES: Final[Mapping[str, str]] = {
    "U3": "reset",
    "U4": "hang",
    "U5": "stall=3",
    "U6": "truncate=3,end=clean",
    "U6-cut": "truncate=3,end=cut",
    "U6-reset": "truncate=3,end=reset",
    "U7": "bad=json",
    "U7-sse": "bad=sse",
    "U7-utf8": "bad=utf8",
    "U7-split": "split=1,eol=mixed,comments",
    "U7-line": "bigline=10000000",
    "U8": "status=429,retry-after=2",
    "U8-date": "status=429,retry-date=30",
    "U8-ms": "status=429,retry-after-ms=1500",
    "U8-year": "status=429,retry-after=31536000",
    "U8-negative": "status=429,retry-after=-5",
    "U8-garbage": "status=429,retry-after=soon",
    "U9": "status=429",
    "U10": "status=500",
    "U11": "rate=1",
    "U12": "length=short",
    "U12-long": "length=long",
    "U12-double": "length=double",
    "U13": "endless",
    "U13-head": "header=104857600",
    "U13-gzip": "gzip=104857600",
}
BARE: Final[Mapping[str, str]] = {
    "reset": "1", "hang": "1", "stall": "3", "truncate": "3", "error": "3", "comments": "1",
    "endless": str(2**30), "gzip": "1", "redacted": "1", "bound": "1", "foreign": "1", "stops": "1",
}  # fmt: skip
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "end": ("clean", "cut", "reset"),
    "bad": ("", "json", "sse", "utf8", "html", "empty", "type"),
    "eol": ("lf", "crlf", "cr", "mixed"),
    "length": ("", "short", "long", "double"),
    "body": ("json", "text", "html", "empty", "broken"),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do with one call. The defaults are a good, quick answer."""

    # The answer itself; these hold whether or not the fault strikes.
    say: str | None = None
    n: int | None = None
    reasoning: str = ""
    logprob: float = -0.25
    delay: float = 0.0
    gap: float = 0.0
    prompt_tokens: int | None = None
    cached: int = 0
    written_5m: int = 0
    written_1h: int = 0
    calls: int = 1
    tool: str = ""
    arguments: str = ""
    stops: bool = False
    redacted: bool = False
    bound: bool = False
    foreign: bool = False
    usage: bool = True
    finish: str | None = None
    models: str = ""
    names: str = ""
    # When the fault strikes.
    share: float = 1.0
    seed: int = 0
    first: int | None = None
    # The fault.
    reset: bool = False
    hang: bool = False
    hold: float = 60.0
    status: int = 200
    retry_after: str | None = None
    retry_after_ms: str | None = None
    retry_date: float | None = None
    code: str | None = None
    message: str | None = None
    body: str = "json"
    stall: int | None = None
    truncate: int | None = None
    error: int | None = None
    end: str = "clean"
    bad: str = ""
    eol: str = "lf"
    split: int = 0
    comments: bool = False
    bigline: int = 0
    rate: float = 0.0
    head_rate: float = 0.0
    length: str = ""
    header: int = 0
    endless: int = 0
    gzip: int = 0

    def as_good(self) -> "Plan":
        """The same answer without the fault."""
        return Plan(**{name: getattr(self, name) for name in ANSWER})


ANSWER: Final = (
    "say", "n", "reasoning", "logprob", "delay", "gap", "prompt_tokens", "cached", "written_5m", "written_1h",
    "calls", "tool", "arguments", "stops", "redacted", "bound", "foreign", "usage", "finish",
    "models", "names",
)  # fmt: skip
_KIND: Final[Mapping[str, Any]] = {
    name: next((kind for kind in get_args(hint) if kind is not type(None)), hint)
    for name, hint in get_type_hints(Plan).items()
}


def script_of_model(model: str) -> str:
    """The script inside a model's name; empty where the name is only a name."""
    if model.startswith("fault:"):
        return model.removeprefix("fault:")
    return model if "=" in model else ""


def parse(*scripts: str) -> Plan:
    """Merge `scripts` into one plan; later ones win, and the word `good` forgets every fault before it.

    Raises:
        ValueError: a word nobody knows, or a value that does not fit it.
    """
    plan = Plan()
    for script in scripts:
        for word in filter(None, (part.strip() for part in script.split(","))):
            plan = _apply(plan, word)
    return plan


def _apply(plan: Plan, word: str) -> Plan:
    if word == "good":
        return plan.as_good()
    if word in ALIASES:
        for part in ALIASES[word].split(","):
            plan = _apply(plan, part)
        return plan
    key, equals, raw = word.partition("=")
    name = key.replace("-", "_")
    value = unquote(raw) if equals else BARE.get(key)
    if name not in _KIND or value is None:
        raise ValueError(f"fault script: unknown word {word!r}")
    if name in CHOICES and value not in CHOICES[name]:
        raise ValueError(f"fault script: {key} is one of {', '.join(CHOICES[name])}, not {value!r}")
    return dataclasses.replace(plan, **{name: _convert(_KIND[name], word, value)})


def _convert(kind: Any, word: str, value: str) -> Any:
    try:
        if kind is bool:
            return bool(int(value))
        return int(float(value)) if kind is int else kind(value)
    except ValueError as error:
        raise ValueError(f"fault script: {word!r} wants a number") from error


class Chance:
    """Decides whether a fault strikes this time: `share` by a seeded draw, `first` by counting.

    The n-th call with the same script always meets the same fate, whatever runs beside it.
    """

    def __init__(self) -> None:
        self._draws: dict[str, tuple[random.Random, list[int]]] = {}

    def strikes(self, plan: Plan, script: str) -> bool:
        if plan.share >= 1.0 and plan.first is None:
            return True
        if len(self._draws) > 10_000:
            self._draws.clear()
        draw, seen = self._draws.setdefault(script, (random.Random(plan.seed), [0]))
        seen[0] += 1
        in_time = plan.first is None or seen[0] <= plan.first
        return draw.random() < plan.share and in_time
