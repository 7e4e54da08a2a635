"""`farthing calibrate`: measured promises, printed as certificates or refused."""

import time
from pathlib import Path
from typing import Literal

import click
import msgspec

from farthing.cli.commands.calibrate import cascade
from farthing.cli.commands.drift import keep_reference
from farthing.cli.commands.policy import add_version
from farthing.cli.reading import config_option, ledger_option, located, settled
from farthing.cli.renamed import RenamedOption
from farthing.cli.since import SINCE_HELP, since_of
from farthing.config import Config, policy_version
from farthing.errors import ConfigError
from farthing.guarantees.calibrate import audits, explored, routing, semantic_cache
from farthing.guarantees.calibrate import labels as label_files
from farthing.guarantees.certificates import routing as route_certificates
from farthing.guarantees.certificates import semantic_cache as certificates
from farthing.guarantees.certificates.routing import RouteScope
from farthing.insight import renamed, route_calibration
from farthing.insight.report import report as reports

REFUSED = 1


@click.group("calibrate")
def command() -> None:
    """Hold a promise against what was measured, and certify or refuse it."""


command.add_command(cascade.command)


@command.command("cache")
@click.option("--endpoint", required=True, help="Whose semantic cache.")
@click.option(
    "--language", default="en", show_default=True, help="Of the questions; each has a certificate of its own."
)
@click.option(
    "--risk-max",
    cls=RenamedOption,
    old="--loss",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of hits that may be false; default: the endpoint's risk_max.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), help="Default: the endpoint's.")
@click.option("--since", default="all", show_default=True, help=SINCE_HELP)
@ledger_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--apply", is_flag=True, help="Write the certificate where the gateway reads it.")
def cache(
    endpoint: str,
    language: str,
    risk_max: float | None,
    confidence: float | None,
    since: str,
    ledger: Path | None,
    config: Path | None,
    as_json: bool,
    apply: bool,
) -> int:
    """Certify the lowest threshold at which the semantic cache's false hits stay under --risk-max.

    Reads the audited would-be hits of the ledger. Without --apply nothing is written. Exit status: 0
    with a certificate, 1 when it is refused.
    """
    if not (len(language) == 2 and language.isascii() and language.islower()):
        raise click.BadParameter(f'expected a code of two letters such as "en", got {language!r}')
    now_unix_s = time.time()
    since_unix_s = since_of(since, now_unix_s) or 0.0
    where = located(ledger, config)
    terms = where.semantic.get(endpoint)
    running = certificates.running_scope(where.state_dir)
    seen = audits.observe(
        reports.rows(where.ledger, None),
        endpoint=endpoint,
        language=language,
        grid=semantic_cache.GRID,
        since_unix_s=max(since_unix_s, running.since_unix_s if running is not None else 0.0),
        now_unix_s=now_unix_s,
    )
    if terms is None and endpoint not in seen.others:
        raise semantic_cache.unknown(endpoint, sorted({*where.semantic, *seen.others}))
    aim = semantic_cache.Aim(
        endpoint=endpoint,
        language=language,
        risk_max=risk_max or (terms.risk_max if terms is not None else 0.01),
        confidence=confidence or (terms.confidence if terms is not None else 0.95),
    )
    found = semantic_cache.calibrate(seen, aim, running=running, now_unix_s=now_unix_s)
    path = certificates.certificate_path(where.state_dir, endpoint, language)
    written = apply and found.certificate is not None
    if written and found.certificate is not None:
        certificates.save(path, found.certificate)
    if as_json:
        shown = {**msgspec.structs.asdict(found), "loss": found.risk_max}  # its name in the last release
        click.echo(renamed.encode({**shown, "file": str(path), "written": written}).decode())
    else:
        click.echo("\n".join(semantic_cache.story(found)))
        if found.certificate is not None:
            click.echo(
                f"\nwritten to {path}; reload the gateway" if written else "\ndry run: --apply writes it"
            )
    return 0 if found.certificate is not None else REFUSED


@command.command("route")
@click.option("--endpoint", required=True, help="Whose requests.")
@click.option(
    "--risk-max",
    cls=RenamedOption,
    old="--loss",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    required=True,
    help="Quality per request that may be lost, over all requests of the endpoint.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), default=0.9, show_default=True)
@click.option(
    "--samples",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON lines: score, cheap, expensive; may have segment, request_id, weight or propensity, at. "
    "Default: the explored requests of the ledger.",
)
@ledger_option
@click.option("--since", default="all", show_default=True, help=SINCE_HELP)
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
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
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
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--apply", is_flag=True, help="Make it a version of the endpoint's routing policy, see `farthing policy`."
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="With --apply: of the traffic that it decides at first; 1 is all.",
)
def route(  # noqa: PLR0913 - each one is an option
    endpoint: str,
    risk_max: float,
    confidence: float,
    samples: Path | None,
    ledger: Path | None,
    since: str,
    harm: Literal["regression", "net"],
    segment_risk_max: float | None,
    labels: Path | None,
    exclude: tuple[str, ...],
    router: str | None,
    cheap: str | None,
    expensive: str | None,
    config: Path | None,
    as_json: bool,
    apply: bool,
    share: float,
) -> int:
    """Certify the lowest score from which requests may go to the cheap tier, or refuse.

    Reads requests that both tiers answered and that were judged: from the file --samples, else the explored
    ones of the ledger (--ledger, or that of the configuration). Without --apply nothing is
    written. Exit status: 0 with a certificate, 1 when it is refused or the samples cannot be read.
    """
    now_unix_s = time.time()
    source = located(ledger, config) if samples is None else None
    known = settled(config) if source is None else source.settings
    configured = known.file is not None and (source is None or source.own)
    settings = known.config if configured else Config()
    wanted = explored.Wanted(
        endpoint=endpoint,
        router=router,
        cheap=cheap,
        expensive=expensive,
        targets={name: tier.targets[0] for name, tier in settings.tiers.items()},
    )
    since_unix_s = since_of(since, now_unix_s)
    if samples is not None:
        given = explored.from_file(samples, wanted, since_unix_s=since_unix_s)
    else:
        assert source is not None
        given = explored.from_ledger(source.ledger, wanted, since_unix_s=since_unix_s)
    if configured:
        _check_names(settings, endpoint, (given.cheap, given.expensive))
    aim = routing.Aim(
        endpoint=endpoint,
        risk_max=risk_max,
        confidence=confidence,
        harm=harm,
        segment_risk_max=segment_risk_max,
        exclude=frozenset(exclude),
    )
    scope = RouteScope(
        router=given.router,
        cheap=given.cheap,
        expensive=given.expensive,
        policy=given.policy if not configured else policy_version(settings),
    )
    people = None
    if labels is not None:
        people = label_files.pairs(label_files.read(labels), cheap=scope.cheap, expensive=scope.expensive)
    found = routing.calibrate(given.samples, aim, scope=scope, now_unix_s=now_unix_s, labels=people)
    state_dir = known.state_dir
    path = route_certificates.certificate_path(state_dir, endpoint)
    version: int | None = None
    reference, said = None, ""
    written = apply and found.certificate is not None
    if written and found.certificate is not None:
        book = add_version(state_dir, settings, found.certificate, share, measured=given.targets)
        version = book.last_number
        route_certificates.save(path, found.certificate)
        if source is not None and given.span_unix_s is not None:
            reference, said = keep_reference(
                source.ledger,
                endpoint,
                span_unix_s=given.span_unix_s,
                state_dir=state_dir,
                now_unix_s=now_unix_s,
            )
    if as_json:
        shown = {**msgspec.structs.asdict(found), "loss": found.risk_max}  # its name in the last release
        told = {**shown, "left_out": given.left_out, "file": str(path), "written": written}
        told["policy_version"] = version
        told["drift_reference"] = None if reference is None else str(reference)
        click.echo(renamed.encode(told).decode())
        return 0 if found.certificate is not None else REFUSED
    for line in given.told:
        click.echo(line)
    click.echo("\n".join(route_calibration.story(found)))
    if found.certificate is not None:
        click.echo(f"\nwritten to {path}" if written else "\ndry run: --apply writes it")
    if version is not None:
        click.echo(f"version {version} of the policy of {endpoint} decides {share:.0%} of its traffic")
    if said:
        click.echo(said)
    return 0 if found.certificate is not None else REFUSED


def _check_names(settings: Config, endpoint: str, tiers: tuple[str, ...]) -> None:
    """A certificate for a name that the configuration does not have would never be used.

    Raises:
        ConfigError: the endpoint or a tier is not there; the message names what is.
    """
    if endpoint not in settings.endpoints and endpoint != "default":
        raise ConfigError(f"no endpoint {endpoint!r}; there are {', '.join(settings.endpoints) or 'none'}")
    for tier in tiers:
        if tier not in settings.tiers:
            raise ConfigError(f"no tier {tier!r}; there are {', '.join(settings.tiers) or 'none'}")
