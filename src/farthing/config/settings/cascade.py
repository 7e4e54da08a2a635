"""The knobs of a cascade: a cheap answer, checks of it, and a dearer tier where they doubt it."""

from typing import Literal

import msgspec

from farthing.config.settings.options import Options
from farthing.config.settings.quality import CommandCheckConfig, RegexCheckConfig, SchemaCheckConfig
from farthing.config.settings.table import Table


class PlainCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="plain"):
    """What can be seen of the answer itself: empty, cut off, a refusal, "I do not know" in many languages."""

    name: str = "plain"


class LogprobsCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="logprobs"):
    """How sure the model was of the tokens it said, where its provider tells."""

    name: str = "logprobs"
    measure: Literal["mean", "min", "margin"] = "mean"
    """`mean`: the geometric mean of the tokens' probabilities; `min`: the least probable token; `margin`: how
    far each token was ahead of the next likely one, on average."""
    score_min: float | None = None
    """Score below which the answer is doubted, for every model. None: the model's own, of `farthing calibrate
    cascade`; without either the score is only written down."""


class ConsistencyCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="consistency"):
    """Whether the same model, asked again at a temperature, says the same."""

    name: str = "consistency"
    samples: int = 2
    """Further answers that are asked for, at once. Each is a call, and is paid for."""
    temperature: float = 0.7
    compare: Literal["auto", "number", "choice", "text"] = "auto"
    """What must be the same: the last number, the letter of a choice, or most of the words."""
    score_min: float | None = None
    """Share of agreeing samples below which the answer is doubted, for all models. None: as of `logprobs`."""


class JudgeCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="judge"):
    """A model is asked whether the answer is correct and complete."""

    name: str = "judge"
    target: str
    """Who is asked, `provider/model`."""
    about: str = ""
    """What makes an answer good enough here, in words for the judge."""


class PluginCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="plugin"):
    """A check that a plug-in has."""

    name: str = "plugin"
    plugin: str
    """Name of the entry point, in the group `farthing.checks`."""
    options: Options = msgspec.field(default_factory=Options)


BuiltInCheckConfig = (
    PlainCheckConfig
    | SchemaCheckConfig
    | RegexCheckConfig
    | CommandCheckConfig
    | LogprobsCheckConfig
    | ConsistencyCheckConfig
    | JudgeCheckConfig
)
CascadeCheckConfig = BuiltInCheckConfig | PluginCheckConfig


class CascadeConfig(Table, frozen=True):
    """A cheap tier answers first, and a dearer one where a check doubts its answer."""

    first: str
    """Tier whose answers are checked."""
    then: str
    """Tier that is asked when a check doubts one."""
    checks: tuple[CascadeCheckConfig, ...] = (PlainCheckConfig(), SchemaCheckConfig())
    """Made from cheap to dear, whatever their order here; the first doubt decides."""
    streams: Literal["wait", "skip"] = "wait"
    """`wait`: a streamed answer is gathered and checked before its first byte goes out. `skip`: streamed
    requests go to `then` at once."""
    within_s: float = 10.0
    """What all checks of one answer may take together; a check that is not done by then is skipped."""
