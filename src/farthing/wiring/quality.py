"""Builds what learns about answers: repeated questions, checks, judges, exploration."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import assert_never

from farthing.config import (
    CheckConfig,
    CommandCheckConfig,
    Config,
    EndpointConfig,
    ExactCheckConfig,
    QualityConfig,
    RegexCheckConfig,
    SchemaCheckConfig,
)
from farthing.errors import ConfigError
from farthing.evaluation.checks.delivered import (
    Checking,
    CheckResources,
    Checks,
    CommandTest,
    ExactTest,
    RegexTest,
    SchemaTest,
    Test,
)
from farthing.evaluation.checks.exact import read_expected
from farthing.evaluation.checks.schema_file import read_schema
from farthing.evaluation.feedback.inspect import Inspect, Watched
from farthing.evaluation.feedback.repeats import Repeats
from farthing.evaluation.feedback.verdicts import Verdicts
from farthing.evaluation.judges.grade import Grade, Rubric
from farthing.jobs.batch_judge import BatchJudge
from farthing.jobs.runner import JobRunner
from farthing.jobs.schedule import window_of
from farthing.jobs.shadow import Explore
from farthing.protocols import Ledger, RouteAudit
from farthing.runtime.faults import log_fault
from farthing.types import Endpoint

log = logging.getLogger("farthing.quality")


class QualityParts:
    """What outlives a reload: recent questions, answers that wait for a check, and what the checks share."""

    def __init__(self, ledger: Ledger, jobs: JobRunner | None = None, state_dir: Path | None = None) -> None:
        """Without `jobs` and `state_dir` nothing is judged in batches."""
        self.resources = CheckResources()
        self.checking = Checking(ledger, clock_unix_s=time.time)
        self.repeats = Repeats(ledger, clock_unix_s=time.time)
        self.batch_judge: BatchJudge | None = None
        self._ledger = ledger
        self._sending: asyncio.Task[None] | None = None
        if jobs is not None and state_dir is not None:
            self.batch_judge = BatchJudge(jobs, state_dir, clock=time.monotonic, clock_unix_s=time.time)

    def serve(
        self, config: Config, endpoint: Callable[[str], Endpoint | None], audit: RouteAudit | None
    ) -> None:
        """Serve `config` from now on; `endpoint` finds its endpoints by name."""
        if self.batch_judge is None:
            return
        waits = any(one.quality.judge_batch for one in config.endpoints.values())
        self.batch_judge.window = window_of(config.precompute.at, config.precompute.until) if waits else None
        self.batch_judge.endpoint = endpoint
        self.batch_judge.verdicts = Verdicts(self._ledger, audit, clock_unix_s=time.time)

    def start(self) -> None:
        """Start judging in batches, on the running event loop."""
        if self.batch_judge is not None:
            self._sending = asyncio.get_running_loop().create_task(self.batch_judge.watch())
            self._sending.add_done_callback(log_fault(log, "judging in batches stopped by a fault of ours"))

    def gauges(self) -> dict[str, float]:
        batch_judge = self.batch_judge
        return {
            "checks_dropped": self.checking.dropped,
            "judging_waiting": 0 if batch_judge is None else batch_judge.waiting,
            "judging_dropped": 0 if batch_judge is None else batch_judge.dropped,
        }

    async def aclose(self) -> None:
        """Safe to call twice."""
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        if self.batch_judge is not None:
            self.batch_judge.release()
        await self.checking.aclose()
        await self.resources.aclose()


def build_inspector(
    config: Config,
    parts: QualityParts | None,
    endpoints: Mapping[str, Endpoint],
    *,
    ledger: Ledger,
    jobs: JobRunner | None,
    audit: RouteAudit | None,
) -> Inspect | None:
    """The inspector of one configuration; None: nothing is learned about its answers.

    Raises:
        ConfigError: a check cannot be used; the message names its key.
    """
    if parts is None:
        return None
    terms = {name: config.endpoints.get(name, EndpointConfig()).quality for name in endpoints}
    tests = {name: build_tests(name, one, parts.resources) for name, one in terms.items()}
    watched = {name: _watched(one) for name, one in terms.items()}
    rubrics = {
        name: found for name, one in terms.items() if (found := _rubric(name, one, config)) is not None
    }
    explores = bool(rubrics) or any(tests.values())
    if not explores and not any(one.reask_s for one in watched.values()):
        return None
    checks = Checks(tests)
    explore = grade = None
    if jobs is not None and explores:
        named: Callable[[str], Endpoint | None] = endpoints.get
        verdicts = Verdicts(ledger, audit, clock_unix_s=time.time)
        explore = Explore(
            jobs,
            rubrics=rubrics,
            checks=checks,
            endpoint=named,
            verdicts=verdicts,
            clock=time.monotonic,
            batch_judge=parts.batch_judge,
        )
        grade = Grade(
            jobs,
            rubrics=rubrics,
            endpoint=named,
            verdicts=verdicts,
            clock=time.monotonic,
            batch_judge=parts.batch_judge,
        )
    return Inspect(
        watched, repeats=parts.repeats, checks=checks, checking=parts.checking, explore=explore, grade=grade
    )


def _rubric(endpoint: str, terms: QualityConfig, config: Config) -> Rubric | None:
    """How answers are judged; None: they are not.

    Raises:
        ConfigError: judging in batches is configured, but there are no batches or no hours for them.
    """
    if terms.judge is None:
        return None
    if terms.judge_batch:
        where = f"endpoints.{endpoint}.quality.judge_batch"
        provider = config.providers.get(terms.judge.partition("/")[0])
        if provider is None or not provider.batch:
            raise ConfigError(f"{where}: the provider of {terms.judge} needs batch = true")
        if window_of(config.precompute.at, config.precompute.until) is None:
            raise ConfigError(f"{where}: give the quiet hours, precompute.at and precompute.until")
    return Rubric(judge=terms.judge, guide=terms.rubric, batch=terms.judge_batch)


def _watched(terms: QualityConfig) -> Watched:
    return Watched(
        reask_s=terms.reask_window_s,
        judge_share=0.0 if terms.judge is None else terms.judge_share,
        check_share=terms.check_share if terms.checks else 0.0,
    )


def build_tests(endpoint: str, terms: QualityConfig, resources: CheckResources) -> list[Test]:
    """The checks of an endpoint, in the order of its configuration.

    Raises:
        ConfigError: a file or a pattern cannot be read; the message names the key.
    """
    tests = []
    for index, check in enumerate(terms.checks):
        try:
            tests.append(_test(check, resources))
        except ConfigError as why:
            raise ConfigError(f"endpoints.{endpoint}.quality.checks[{index}]: {why}") from why
    return tests


def _test(check: CheckConfig, resources: CheckResources) -> Test:
    match check:
        case SchemaCheckConfig():
            return SchemaTest(check.name, None if check.file is None else read_schema(check.file))
        case ExactCheckConfig():
            return ExactTest(check.name, read_expected(check.file))
        case RegexCheckConfig():
            return RegexTest(check.name, check.pattern, resources, absent=check.absent)
        case CommandCheckConfig():
            return CommandTest(
                check.name,
                check.command,
                resources,
                timeout_s=check.timeout_s,
                memory_bytes_max=check.memory_bytes_max,
            )
        case _:
            assert_never(check)
