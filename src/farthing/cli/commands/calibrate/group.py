"""`farthing calibrate`: measured promises, printed as certificates or refused."""

import time
from pathlib import Path
from typing import Literal

import click
import msgspec

from farthing.cli.calibration import CERTIFIED, REFUSED, SHARE, Asked, AskedOfSamples, asked, shown, told
from farthing.cli.commands.calibrate import cascade
from farthing.cli.commands.drift import keep_reference
from farthing.cli.commands.policy import add_version
from farthing.cli.groups import SubcommandGroup
from farthing.cli.reading import located, settled
from farthing.cli.renamed import RenamedOption
from farthing.cli.screen import say, tell
from farthing.cli.since import since_of
from farthing.config import Config, EndpointSemanticConfig, RulesRouteConfig, policy_version
from farthing.errors import ConfigError
from farthing.guarantees.calibrate import audits, explored, routing, semantic_cache
from farthing.guarantees.calibrate import labels as label_files
from farthing.guarantees.calibrate.explored import Given, NothingExplored
from farthing.guarantees.calibrate.routing import Calibration
from farthing.guarantees.certificates import routing as route_certificates
from farthing.guarantees.certificates import semantic_cache as certificates
from farthing.guarantees.certificates.routing import RouteScope
from farthing.guarantees.monitor import model_changes
from farthing.guarantees.monitor.models import ModelChange
from farthing.insight import route_calibration
from farthing.insight.report import report as reports
from farthing.insight.report.failed import moment
from farthing.insight.source import Source, check_endpoint, unknown_endpoint
from farthing.wiring.models import semantic_targets

NO_SCORES = (
    '[route] has kind = "rules", which gives no scores, so nothing is explored: set kind = "learned" or '
    '"llm", and an explore_share (docs/exploring.md), or give judged samples with --samples'
)


@click.group("calibrate", cls=SubcommandGroup)
def command() -> None:
    """Hold a promise against what was measured, and certify or refuse it."""


command.add_command(cascade.command)


# -- the semantic cache -----------------------------------------------------------------------------


class AskedOfCache(Asked, frozen=True, kw_only=True):
    language: str


@command.command("cache")
@asked(
    AskedOfCache,
    whose="Whose semantic cache.",
    risk="Share of hits that may be false; default: the endpoint's risk_max.",
    applies="Write the certificate where the gateway reads it.",
)
@click.option(
    "--language", default="en", show_default=True, help="Of the questions; each has a certificate of its own."
)
def cache(given: AskedOfCache) -> int:
    """Certify the lowest threshold at which the semantic cache's false hits stay under --risk-max.

    Reads the audited would-be hits of the ledger. Without --apply nothing is written. Exit status: 0
    with a certificate, 1 when it is refused.
    """
    language = given.language
    if not (len(language) == 2 and language.isascii() and language.islower()):
        raise click.BadParameter(f'expected a code of two letters such as "en", got {language!r}')
    now_unix_s = time.time()
    where = located(given.ledger, given.config)
    terms = where.semantic.get(given.endpoint)
    found = _of_cache(given, where, terms, now_unix_s)
    path = certificates.certificate_path(where.state_dir, given.endpoint, language)
    written = given.apply and found.certificate is not None
    if written and found.certificate is not None:
        certificates.save(path, found.certificate)
    if given.as_json:
        shown(found, file=str(path), written=written)
    else:
        told(
            semantic_cache.story(found),
            certified=found.certificate is not None,
            written=f"written to {path}; reload the gateway" if written else "",
            advice=_to_audit(given, where, terms),
        )
    return CERTIFIED if found.certificate is not None else REFUSED


def _of_cache(
    given: AskedOfCache, where: Source, terms: EndpointSemanticConfig | None, now_unix_s: float
) -> semantic_cache.Calibration:
    targets = None if where.config is None else semantic_targets(where.config, given.endpoint)
    changed_unix_s = _changed(model_changes.read(where.state_dir).latest_at(given.endpoint, targets))
    since_unix_s = max(since_of(given.since, now_unix_s) or 0.0, changed_unix_s)
    running = certificates.running_scope(where.state_dir)
    seen = audits.observe(
        reports.rows(where.ledger, None),
        endpoint=given.endpoint,
        language=given.language,
        grid=semantic_cache.GRID,
        since_unix_s=max(since_unix_s, running.since_unix_s if running is not None else 0.0),
        now_unix_s=now_unix_s,
    )
    if terms is None and given.endpoint not in seen.others:
        raise semantic_cache.unknown(given.endpoint, sorted({*where.semantic, *seen.others}))
    aim = semantic_cache.Aim(
        endpoint=given.endpoint,
        language=given.language,
        risk_max=given.risk_max or (terms.risk_max if terms is not None else 0.01),
        confidence=given.confidence or (terms.confidence if terms is not None else 0.95),
    )
    return semantic_cache.calibrate(seen, aim, running=running, now_unix_s=now_unix_s)


def _changed(found: tuple[str, ModelChange] | None) -> float:
    """The Unix time of a change of model, told to the user: what is older was measured on another one. 0.0:
    there was none."""
    if found is None:
        return 0.0
    target, change = found
    tell(f"{change.story(target)} since {moment(change.at_unix_s)}: only what came after that counts")
    return change.at_unix_s


def _to_audit(given: AskedOfCache, where: Source, terms: EndpointSemanticConfig | None) -> str:
    """What has to change before there can be audits; empty: nothing in the configuration."""
    if not where.own or where.settings.file is None:
        return ""
    file, key = where.settings.file, f"endpoints.{given.endpoint}.cache.semantic"
    if terms is None or terms.mode == "off":
        return f'{file} does not turn this semantic cache on: set {key}.mode = "observe", and run the gateway'
    if given.language not in terms.languages:
        return (
            f'{file} does not look up questions in this language: add "{given.language}" to {key}.languages'
        )
    return ""


# -- routing ----------------------------------------------------------------------------------------


class AskedOfRoute(AskedOfSamples, frozen=True, kw_only=True):
    harm: Literal["regression", "net"]
    segment_risk_max: float | None
    labels: Path | None
    exclude: tuple[str, ...]
    router: str | None
    cheap: str | None
    expensive: str | None
    share: float


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What --apply made of a certificate."""

    version: int | None = None
    reference: Path | None = None
    said: str = ""
    """Of the reference for drift."""


@command.command("route")
@asked(
    AskedOfRoute,
    whose="Whose requests.",
    risk="Quality per request that may be lost, over all requests of the endpoint.",
    samples="score, cheap, expensive; may have segment, request_id, weight or propensity, at",
    applies="Make it a version of the endpoint's routing policy, see `farthing policy`.",
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="With --apply: of the traffic that it decides at first; 1 is all.",
)
@click.option(
    "--harm",
    type=click.Choice(["regression", "net"]),
    default="regression",
    show_default=True,
    help="`net`: better cheap answers make up for worse ones.",
)
@click.option(
    "--segment-risk-max",
    cls=RenamedOption,
    old="--segment-loss",
    type=SHARE,
    help="What no segment may be shown to lose; default: three times --risk-max.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON lines of what people said of some samples drawn by chance: request_id, tier, quality.",
)
@click.option("--exclude", multiple=True, help="A segment that stays expensive; may be given again.")
@click.option(
    "--router",
    help="What gave the scores, with its version; default: that of the ledger's newest, `unnamed` of a file.",
)
@click.option("--cheap", help="The cheap tier; default: that of the ledger's newest, `cheap` of a file.")
@click.option("--expensive", help="The expensive tier; default: as --cheap, `expensive` of a file.")
def route(given: AskedOfRoute) -> int:
    """Certify the lowest score from which requests may go to the cheap tier, or refuse.

    Reads requests that both tiers answered and that were judged: from the file --samples, else the explored
    ones of the ledger (--ledger, or that of the configuration). Without --apply nothing is
    written. Exit status: 0 with a certificate, 1 when it is refused or the samples cannot be read.
    """
    now_unix_s = time.time()
    source = located(given.ledger, given.config) if given.samples is None else None
    known = settled(given.config) if source is None else source.settings
    configured = known.file is not None and (source is None or source.own)
    settings = known.config if configured else Config()
    if source is not None:
        check_endpoint(given.endpoint, known, source.ledgers, own=source.own)
    samples = _samples(given, source, settings, configured, now_unix_s)
    if configured:
        _check_names(settings, given.endpoint, (samples.cheap, samples.expensive))
    found = _of_route(given, samples, policy_version(settings) if configured else samples.policy, now_unix_s)
    applied = _applied(given, found, samples, source, known.state_dir, settings, now_unix_s)
    path = route_certificates.certificate_path(known.state_dir, given.endpoint)
    if given.as_json:
        _shown(found, samples, applied, path)
    else:
        _told(given, found, samples, applied, path)
    if applied.version is not None and configured and isinstance(settings.route, RulesRouteConfig):
        tell(
            f'warning: [route] of {known.file} has kind = "rules", which gives no scores: the version '
            f"decides nothing until kind names the router that gave these ({samples.router})"
        )
    return CERTIFIED if found.certificate is not None else REFUSED


def _samples(
    given: AskedOfRoute, source: Source | None, settings: Config, configured: bool, now_unix_s: float
) -> Given:
    """Raises:
    BadSamples: they cannot be read, or there are none; the message says what helps here.
    """
    wanted = explored.SampleFilter(
        endpoint=given.endpoint,
        router=given.router,
        cheap=given.cheap,
        expensive=given.expensive,
        targets={name: tier.targets[0] for name, tier in settings.tiers.items()},
    )
    since_unix_s = since_of(given.since, now_unix_s)
    if source is not None:
        targets = [name for tier in settings.tiers.values() for name in tier.targets]
        changed_unix_s = _changed(model_changes.read(source.state_dir).latest(targets))
        since_unix_s = max(since_unix_s or 0.0, changed_unix_s) or None
    if given.samples is not None:
        return explored.from_file(given.samples, wanted, since_unix_s=since_unix_s)
    assert source is not None
    try:
        return explored.from_ledger(source.ledger, wanted, since_unix_s=since_unix_s)
    except NothingExplored as why:
        if not configured or not isinstance(settings.route, RulesRouteConfig):
            raise
        raise NothingExplored(f"no request of {given.endpoint!r} was explored: {NO_SCORES}") from why


def _of_route(given: AskedOfRoute, samples: Given, policy: str, now_unix_s: float) -> Calibration:
    aim = routing.Aim(
        endpoint=given.endpoint,
        risk_max=given.risk_max,
        confidence=given.confidence,
        harm=given.harm,
        segment_risk_max=given.segment_risk_max,
        exclude=frozenset(given.exclude),
    )
    scope = RouteScope(router=samples.router, cheap=samples.cheap, expensive=samples.expensive, policy=policy)
    people = None
    if given.labels is not None:
        people = label_files.pairs(
            label_files.read(given.labels), cheap=scope.cheap, expensive=scope.expensive
        )
    return routing.calibrate(samples.samples, aim, scope=scope, now_unix_s=now_unix_s, labels=people)


def _applied(
    given: AskedOfRoute,
    found: Calibration,
    samples: Given,
    source: Source | None,
    state_dir: Path,
    settings: Config,
    now_unix_s: float,
) -> Applied:
    """Write the certificate, its version of the policy and the reference of drift, if --apply says so."""
    if not given.apply or found.certificate is None:
        return Applied()
    book = add_version(state_dir, settings, found.certificate, given.share, measured=samples.targets)
    route_certificates.save(route_certificates.certificate_path(state_dir, given.endpoint), found.certificate)
    reference, said = None, ""
    if source is not None and samples.span_unix_s is not None:
        reference, said = keep_reference(
            source.ledger,
            given.endpoint,
            span_unix_s=samples.span_unix_s,
            state_dir=state_dir,
            now_unix_s=now_unix_s,
        )
    return Applied(version=book.last_number, reference=reference, said=said)


def _shown(found: Calibration, samples: Given, applied: Applied, path: Path) -> None:
    shown(
        found,
        left_out=samples.left_out,
        file=str(path),
        written=applied.version is not None,
        policy_version=applied.version,
        drift_reference=None if applied.reference is None else str(applied.reference),
    )


def _told(given: AskedOfRoute, found: Calibration, samples: Given, applied: Applied, path: Path) -> None:
    told(
        [*samples.told, *route_calibration.story(found)],
        certified=found.certificate is not None,
        written=f"written to {path}" if applied.version is not None else "",
    )
    if applied.version is not None:
        say(
            f"version {applied.version} of the policy of {given.endpoint} decides {given.share:.0%} of its "
            "traffic"
        )
    if applied.said:
        say(applied.said)


def _check_names(settings: Config, endpoint: str, tiers: tuple[str, ...]) -> None:
    """A certificate for a name that the configuration does not have would never be used.

    Raises:
        ConfigError: the endpoint or a tier is not there; the message names what is.
    """
    if endpoint not in settings.endpoints and endpoint != "default":
        raise ConfigError(unknown_endpoint(endpoint, ("default",), settings))
    for tier in tiers:
        if tier not in settings.tiers:
            raise ConfigError(f"no tier {tier!r}; there are {', '.join(settings.tiers) or 'none'}")
