"""The settings of a cascade: a cheap answer, checks of it, and a more expensive tier if they doubt it."""

from typing import Any, Literal

import msgspec

from farthing.config.settings.options import Options
from farthing.config.settings.quality import CommandCheckConfig, RegexCheckConfig, SchemaCheckConfig
from farthing.config.settings.table import Table


class PlainCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="plain"):
    """What the answer itself shows: empty, cut off, a refusal, "I do not know" in many languages."""

    name: str = "plain"


class LogprobsCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="logprobs"):
    """How confident the model was in its tokens, if its provider reports it."""

    name: str = "logprobs"
    measure: Literal["mean", "min", "margin"] = "mean"
    """`mean`: the geometric mean of the tokens' probabilities; `min`: the least probable token; `margin`:
    each token's average lead over the next likely one."""
    score_min: float | None = None
    """Score below which the answer is doubted, for every model. None: the model's own threshold from
    `farthing calibrate cascade`; without either the score is only recorded."""


class ConsistencyCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="consistency"):
    """Whether the same model, asked again at a temperature, gives the same answer."""

    name: str = "consistency"
    samples: int = 2
    """Further answers to request, concurrently. Each is a paid call."""
    temperature: float = 0.7
    compare: Literal["auto", "number", "choice", "text"] = "auto"
    """What must agree: the last number, the letter of a choice, or most of the words."""
    score_min: float | None = None
    """Share of agreeing samples below which the answer is doubted, for all models. None: as for
    `logprobs`."""


class JudgeCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="judge"):
    """Ask a model whether the answer is correct and complete."""

    name: str = "judge"
    target: str
    """The judge, `provider/model`."""
    about: str = ""
    """What makes an answer good enough here, in words for the judge."""


class PluginCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="plugin"):
    """A check that a plug-in has."""

    name: str = "plugin"
    """Not given: that of the plug-in."""
    plugin: str
    """Name of the entry point, in the group `farthing.checks`."""
    options: Options = msgspec.field(default_factory=Options)

    @classmethod
    def written(cls, table: dict[str, Any]) -> dict[str, Any]:
        """It is called what its plug-in is called, unless `name` says otherwise."""
        return {"name": table["plugin"], **table} if isinstance(table.get("plugin"), str) else table


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
    """A cheap tier answers first, and a more expensive one if a check doubts its answer."""

    first: str
    """Tier whose answers are checked."""
    then: str
    """Tier that is asked if a check doubts an answer."""
    checks: tuple[CascadeCheckConfig, ...] = (PlainCheckConfig(), SchemaCheckConfig())
    """Run from cheap to expensive, whatever their order here; the first doubt decides."""
    streams: Literal["wait", "skip"] = "wait"
    """`wait`: a streamed answer is buffered and checked before its first byte is sent. `skip`: streamed
    requests go directly to `then`."""
    within_s: float = 10.0
    """Time limit for all checks of one answer together; a check that exceeds it is skipped."""
