"""Settings for evaluating answers after delivery: judging, exploring, checks, feedback."""

from pathlib import Path

from farthing.config.settings.table import Table

CHECK_S = 10.0
REASK_S = 60.0
CHECK_MEMORY_BYTES = 536_870_912


class SchemaCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="schema"):
    """The answer is JSON that fits a schema."""

    name: str = "schema"
    file: Path | None = None
    """A JSON Schema; None: the one that the request itself asks for (`response_format`), if it does."""


class ExactCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="exact"):
    """The answer equals the expected one, for questions with a known answer."""

    name: str = "exact"
    file: Path
    """JSON lines of `question` and `expected`, a text or a list of acceptable texts."""


class RegexCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="regex"):
    """The answer contains a pattern, or must not contain it."""

    name: str = "regex"
    pattern: str
    absent: bool = False
    """The pattern must not occur."""


class CommandCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="command"):
    """A command, such as a unit test, whose exit status says whether the answer is right: 0 means yes."""

    name: str = "command"
    command: tuple[str, ...]
    """The program and its arguments; no shell. It gets the answer on standard input and in `answer.txt` in
    its directory, and the question in `question.txt`."""
    timeout_s: float = CHECK_S
    memory_bytes_max: int = CHECK_MEMORY_BYTES


CheckConfig = SchemaCheckConfig | ExactCheckConfig | RegexCheckConfig | CommandCheckConfig


class QualityConfig(Table, frozen=True):
    """How the quality of an endpoint's answers is measured; the cost is part of `jobs.usd_per_day`."""

    judge: str | None = None
    """Target that judges answers; None: no answers are judged, and nothing is explored."""
    judge_share: float = 0.0
    """Share of the answers that are graded individually, against the rubric."""
    judge_batch: bool = False
    """Ask the judge in the quiet hours (`precompute.at`), many answers at a time, in batches of its provider;
    otherwise at once."""
    explore_share: float | None = None
    """Share of the learned router's decisions where both tiers answer and are compared; None: that of
    `route.explore_share`."""
    rubric: str = ""
    """The criteria for a good answer here, in words for the judge; empty: general ones."""
    reask_s: float | None = None
    """A question that the same session or user asks again within this time counts against the first answer;
    0: never. None: 60 if there is a judge or a check, else 0."""
    checks: tuple[CheckConfig, ...] = ()
    """Checks that answers go through after delivery."""
    check_share: float = 1.0
    """Share of the answers that are checked."""

    @property
    def reask_window_s(self) -> float:
        """`reask_s`, or its default if it is not set."""
        if self.reask_s is not None:
            return self.reask_s
        return REASK_S if self.judge is not None or self.checks else 0.0
