"""Builds cascades: the checks of each endpoint, and the measured thresholds of their scores."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import assert_never

from farthing.brain.route.cascade import CascadeRouter, Steps
from farthing.brain.route.rules import RulesRouter
from farthing.brain.route.warm import Stays
from farthing.config import (
    BuiltInCheckConfig,
    CascadeCheckConfig,
    CascadeConfig,
    CommandCheckConfig,
    Config,
    ConsistencyCheckConfig,
    JudgeCheckConfig,
    LogprobsCheckConfig,
    PlainCheckConfig,
    PluginCheckConfig,
    RegexCheckConfig,
    SchemaCheckConfig,
)
from farthing.errors import ConfigError
from farthing.evaluation.checks.consistency import ConsistencyCheck
from farthing.evaluation.checks.fits_schema import SchemaCheck
from farthing.evaluation.checks.holds_pattern import RegexCheck
from farthing.evaluation.checks.logprobs import ALTERNATIVES, LogprobsCheck
from farthing.evaluation.checks.passes_command import CommandCheck
from farthing.evaluation.checks.plain import PlainCheck
from farthing.evaluation.checks.regex import Searcher, compiled
from farthing.evaluation.checks.schema_file import read_schema
from farthing.evaluation.checks.threshold import Floor
from farthing.evaluation.judges.inline import JudgeCheck
from farthing.guarantees.certificates import cascade as cascade_certificate
from farthing.guarantees.monitor.models import ModelWatch
from farthing.models.tokens.estimate import estimate_prompt
from farthing.pipeline.cascade import Cascade, Cascades
from farthing.protocols import AnswerCheck, Router
from farthing.types import Target
from farthing.wiring.foreign import ForeignCheck
from farthing.wiring.models import why
from farthing.wiring.plugins import Opened, Plugins, named

log = logging.getLogger("farthing.cascading")

# From cheap to dear: what looks at the answer alone, what works on it, what asks models, dearest last.
ORDER: tuple[type[CascadeCheckConfig], ...] = (
    PlainCheckConfig,
    LogprobsCheckConfig,
    SchemaCheckConfig,
    RegexCheckConfig,
    CommandCheckConfig,
    PluginCheckConfig,
    JudgeCheckConfig,
    ConsistencyCheckConfig,
)
COMMAND_SHARE = 0.8
"""Of the time of all checks. What is cut by that says nothing, and a command that hangs is to say so."""
MEASURES = (LogprobsCheckConfig, ConsistencyCheckConfig)


def cascaded(config: Config, router: Router, rules: RulesRouter, stays: Stays | None = None) -> Router:
    """`router` with the escalations of the endpoints that have a cascade; `router` itself if none has."""
    cascades = {
        name: Steps(
            first=endpoint.cascade.first, then=endpoint.cascade.then, streams=endpoint.cascade.streams
        )
        for name, endpoint in config.endpoints.items()
        if endpoint.cascade is not None
    }
    if not cascades:
        return router
    named = [name for name in rules.known_models() if rules.meaning_of(name) in rules.tiers]
    return CascadeRouter(router, cascades, to_tier=rules.to_tier, tiers=named, stays=stays)


class CascadeParts:
    """What the cascades of all configurations share: the certificates' directory and the pattern searcher."""

    def __init__(self, state_dir: Path | None = None) -> None:
        """Without `state_dir` there are no measured thresholds. Opens nothing."""
        self.state_dir = state_dir
        self.models: ModelWatch | None = None
        """Which models answer for targets; None: nobody knows."""
        self.searcher = Searcher()

    async def aclose(self) -> None:
        """Safe to call twice."""
        await self.searcher.aclose()


def build_cascades(
    config: Config,
    parts: CascadeParts,
    target_of: Callable[[str], Target | None],
    plugins: Plugins | None = None,
) -> Cascades:
    """The checks of all endpoints.

    Raises:
        ConfigError: a schema, a pattern, a certificate or a plug-in cannot be used.
    """
    opening = Plugins() if plugins is None else plugins
    foreign = {one.where: partial(opening.open, one) for one in named(config) if one.kind == "check"}
    return Cascades(
        {
            name: _cascade(name, endpoint.cascade, config, parts, foreign)
            for name, endpoint in config.endpoints.items()
            if endpoint.cascade is not None
        },
        target_of=target_of,
        estimate_tokens=estimate_prompt,
        clock=time.monotonic,
        strict=config.brain.strict,
    )


def _cascade(
    name: str,
    cascade: CascadeConfig,
    config: Config,
    parts: CascadeParts,
    foreign: Mapping[str, Callable[[], Opened]],
) -> Cascade:
    checks: list[AnswerCheck] = []
    measures: list[AnswerCheck] = []
    alternatives: int | None = None
    for settings in sorted(cascade.checks, key=lambda check: ORDER.index(type(check))):
        if isinstance(settings, PluginCheckConfig):
            opened = foreign[f"endpoints.{name}.cascade.checks.{settings.name}"]()
            checks.append(ForeignCheck(opened.implementation, opened.calls, name=settings.name))
            continue
        floor = Floor()
        if isinstance(settings, MEASURES):
            floor = _floor(name, settings, cascade, config, parts.state_dir, parts.models)
        try:
            check = _check(settings, floor, parts.searcher, cascade.within_s)
        except ConfigError as why:
            raise ConfigError(f"endpoints.{name}.cascade: the check {settings.name}: {why}") from why
        checks.append(check)
        if isinstance(settings, MEASURES):
            measures.append(check)
        if isinstance(settings, LogprobsCheckConfig):
            alternatives = max(alternatives or 0, ALTERNATIVES[settings.measure])
    return Cascade(
        first=cascade.first,
        checks=tuple(checks),
        measures=tuple(measures),
        within_s=cascade.within_s,
        alternatives=alternatives,
    )


def _check(settings: BuiltInCheckConfig, floor: Floor, searcher: Searcher, within_s: float) -> AnswerCheck:
    match settings:
        case PlainCheckConfig():
            return PlainCheck(settings.name)
        case SchemaCheckConfig():
            schema = None if settings.file is None else read_schema(settings.file)
            return SchemaCheck(name=settings.name, schema=schema)
        case RegexCheckConfig():
            pattern = compiled(settings.pattern)
            return RegexCheck(searcher, name=settings.name, pattern=pattern, absent=settings.absent)
        case CommandCheckConfig():
            return CommandCheck(
                name=settings.name,
                arguments=settings.command,
                timeout_s=min(settings.timeout_s, COMMAND_SHARE * within_s),
                memory_bytes_max=settings.memory_bytes_max,
            )
        case LogprobsCheckConfig():
            return LogprobsCheck(name=settings.name, measure=settings.measure, floor=floor)
        case ConsistencyCheckConfig():
            return ConsistencyCheck(
                name=settings.name,
                samples=settings.samples,
                temperature=settings.temperature,
                compare=settings.compare,
                floor=floor,
            )
        case JudgeCheckConfig():
            return JudgeCheck(name=settings.name, target=settings.target, about=settings.about)
        case _:
            assert_never(settings)


def _floor(
    name: str,
    settings: LogprobsCheckConfig | ConsistencyCheckConfig,
    cascade: CascadeConfig,
    config: Config,
    state_dir: Path | None,
    models_of: ModelWatch | None,
) -> Floor:
    """The score from which an answer is good enough: as configured, else as measured for its model."""
    if settings.score_min is not None:
        return Floor(everywhere=settings.score_min)
    found = None if state_dir is None else cascade_certificate.load(cascade_certificate.path(state_dir, name))
    models: dict[str, float] = {}
    if found is not None:
        scope = cascade_scope(config, cascade, settings)
        unfit = cascade_certificate.why_not(found, scope)
        if unfit:
            log.warning("endpoint %s: its certificate is not used: %s", name, "; ".join(unfit))
        else:
            models = found.thresholds
            unproven = cascade_certificate.why_unproven(found, scope, now_unix_s=time.time())
            changed = None if models_of is None else models_of.latest({*models, scope.target})
            if changed is not None and changed[1].at_unix_s > found.made_unix_s:
                unproven.append(why(*changed))
            _tell_unproven(name, unproven)
    for target in config.tiers[cascade.first].targets:
        if target not in models:
            log.warning(
                "endpoint %s: the check %s only observes %s: it has neither score_min nor a certificate "
                "(farthing calibrate cascade)",
                name,
                settings.name,
                target,
            )
    return Floor(models=models)


def _tell_unproven(name: str, reasons: list[str]) -> None:
    if reasons:
        log.warning(
            "endpoint %s: its thresholds decide, but promise nothing any more, calibrate again: %s",
            name,
            "; ".join(reasons),
        )


def unproven_cascades(config: Config, parts: CascadeParts, target: str) -> list[str]:
    """The cascades whose certificates rest on the answers of `target`, in words: after a change of its model
    they promise nothing."""
    found = []
    for name, endpoint in config.endpoints.items():
        if endpoint.cascade is not None and _rests_on(name, endpoint.cascade, config, parts, target):
            found.append(
                f"the cascade of {name}, whose thresholds stay in use and promise nothing "
                f"(`farthing calibrate cascade --endpoint {name} --apply`)"
            )
    return found


def _rests_on(name: str, cascade: CascadeConfig, config: Config, parts: CascadeParts, target: str) -> bool:
    if parts.state_dir is None:
        return False
    try:
        found = cascade_certificate.load(cascade_certificate.path(parts.state_dir, name))
    except ConfigError:
        return False  # the start and each reload say so
    for settings in cascade.checks:
        if found is not None and isinstance(settings, MEASURES) and settings.score_min is None:
            scope = cascade_scope(config, cascade, settings)
            if target in {*found.thresholds, scope.target} and not cascade_certificate.why_not(found, scope):
                return True
    return False


def cascade_scope(
    config: Config, cascade: CascadeConfig, settings: LogprobsCheckConfig | ConsistencyCheckConfig
) -> cascade_certificate.CascadeScope:
    """The scope of a check's score, by which its certificate is found."""
    if isinstance(settings, LogprobsCheckConfig):
        how: str = settings.measure
    else:
        how = f"{settings.compare}/{settings.samples}/{settings.temperature:g}"
    return cascade_certificate.CascadeScope(
        check=settings.name,
        how=how,
        cheap=cascade.first,
        expensive=cascade.then,
        target=config.tiers[cascade.then].targets[0],
    )
