"""The knobs of what is learned about answers after they were given: judging, exploring, checks, feedback."""

from pathlib import Path

from farthing.config.settings.table import Table

CHECK_S = 10.0
REASK_S = 60.0
CHECK_MEMORY_BYTES = 536_870_912


class SchemaCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="schema"):
    """The answer is JSON that fits a schema."""

    name: str = "schema"
    file: Path | None = None
    """A JSON Schema; None: the one that the request itself asks for (`response_format`), where it does."""


class ExactCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="exact"):
    """The answer is the one that is expected, for questions whose answer is known."""

    name: str = "exact"
    file: Path
    """JSON lines of `question` and `expected`, a text or a list of texts of which any will do."""


class RegexCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="regex"):
    """The answer holds a pattern, or must not hold it."""

    name: str = "regex"
    pattern: str
    absent: bool = False
    """The pattern must not be found."""


class CommandCheckConfig(Table, frozen=True, kw_only=True, tag_field="kind", tag="command"):
    """A command, such as a unit test, says by its exit status whether the answer is right: 0 is yes."""

    name: str = "command"
    command: tuple[str, ...]
    """The program and its arguments; no shell. The answer is its standard input and `answer.txt` in its
    directory, the question is `question.txt` there."""
    timeout_s: float = CHECK_S
    memory_bytes_max: int = CHECK_MEMORY_BYTES


CheckConfig = SchemaCheckConfig | ExactCheckConfig | RegexCheckConfig | CommandCheckConfig


class QualityConfig(Table, frozen=True):
    """How the quality of an endpoint's answers is learned; what it costs is part of `jobs.usd_per_day`."""

    judge: str | None = None
    """Target that judges answers; None: nobody judges, and nothing is explored."""
    judge_share: float = 0.0
    """Share of the answers that are judged by themselves, against the rubric."""
    judge_batch: bool = False
    """The judge is asked in the quiet hours (`precompute.at`), many answers at a time, in batches of its
    provider; else at once."""
    explore_share: float | None = None
    """Share of the learned router's decisions where both tiers answer and are compared; None: that of
    `route.explore_share`."""
    rubric: str = ""
    """What a good answer is here, in words for the judge; empty: a general one."""
    reask_s: float | None = None
    """A question that the same session or user asks again within it speaks against the first answer; 0: it
    says nothing. None: 60 where there is a judge or a check, else 0."""
    checks: tuple[CheckConfig, ...] = ()
    """Tests that answers are put to after they went out."""
    check_share: float = 1.0
    """Share of the answers that are put to them."""

    @property
    def reask_window_s(self) -> float:
        """`reask_s`, or what it is where it is not set."""
        if self.reask_s is not None:
            return self.reask_s
        return REASK_S if self.judge is not None or self.checks else 0.0
