"""`farthing calibrate`: measured promises, printed as certificates or refused."""

import os
import time
from pathlib import Path
from typing import Literal

import click
import msgspec

from farthing import config as configuration
from farthing.app import policy_version
from farthing.brain.cache.semantic import certificate as certificates
from farthing.brain.route import certificate as route_certificates
from farthing.brain.route.certificate import RouteScope
from farthing.config import Config
from farthing.errors import ConfigError
from farthing.insight import audits, calibrate_cache, calibrate_route, route_samples, route_story, source
from farthing.insight import report as reports

REFUSED = 1


@click.group("calibrate")
def command() -> None:
    """Hold a promise against what was measured, and certify or refuse it."""


@command.command("cache")
@click.option("--endpoint", required=True, help="Whose semantic cache.")
@click.option(
    "--loss",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of hits that may be false; default: the endpoint's false_hits_max.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), help="Default: the endpoint's.")
@click.option("--since", default="all", show_default=True, help="30m, 1h, 7d, `all`, or an ISO date or time.")
@click.option("--ledger", type=click.Path(path_type=Path), help="Directory of the ledger's segments.")
@click.option("--config", type=click.Path(path_type=Path), help="The gateway's configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--apply", is_flag=True, help="Write the certificate where the gateway reads it.")
def cache(
    endpoint: str,
    loss: float | None,
    confidence: float | None,
    since: str,
    ledger: Path | None,
    config: Path | None,
    as_json: bool,
    apply: bool,
) -> int:
    """Certify the lowest threshold at which the semantic cache's false hits stay under --loss.

    Reads the audited would-be hits of the ledger. Without --apply nothing is written. Exit status: 0
    with a certificate, 1 when it is refused.
    """
    now_unix_s = time.time()
    since_unix_s = _since(since, now_unix_s) or 0.0
    where = source.locate(ledger, config, os.environ)
    terms = where.semantic.get(endpoint)
    running = certificates.running_scope(where.state_dir)
    seen = audits.observe(
        reports.rows(where.ledger, None),
        endpoint=endpoint,
        grid=calibrate_cache.GRID,
        since_unix_s=max(since_unix_s, running.since_unix_s if running is not None else 0.0),
        now_unix_s=now_unix_s,
    )
    if terms is None and not seen.looks:
        raise calibrate_cache.unknown(endpoint, sorted({*where.semantic, *seen.others}))
    aim = calibrate_cache.Aim(
        endpoint=endpoint,
        loss=loss or (terms.false_hits_max if terms is not None else 0.01),
        confidence=confidence or (terms.confidence if terms is not None else 0.95),
    )
    found = calibrate_cache.calibrate(seen, aim, running=running, now_unix_s=now_unix_s)
    path = certificates.certificate_path(where.state_dir, endpoint)
    written = apply and found.certificate is not None
    if written and found.certificate is not None:
        certificates.save(path, found.certificate)
    if as_json:
        shown = msgspec.structs.asdict(found)
        click.echo(msgspec.json.encode({**shown, "file": str(path), "written": written}).decode())
    else:
        click.echo("\n".join(calibrate_cache.story(found)))
        if found.certificate is not None:
            click.echo(
                f"\nwritten to {path}; reload the gateway" if written else "\ndry run: --apply writes it"
            )
    return 0 if found.certificate is not None else REFUSED


@command.command("route")
@click.option("--endpoint", required=True, help="Whose requests.")
@click.option(
    "--loss",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    required=True,
    help="Quality per request that may be lost, over all requests of the endpoint.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), default=0.9, show_default=True)
@click.option(
    "--samples",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSON lines: score, cheap, expensive; may have segment, request_id, weight or propensity, at.",
)
@click.option("--since", default="all", show_default=True, help="30m, 1h, 7d, `all`, or an ISO date or time.")
@click.option(
    "--harm",
    type=click.Choice(["regression", "net"]),
    default="regression",
    show_default=True,
    help="`net`: better cheap answers make up for worse ones.",
)
@click.option(
    "--segment-loss",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="What no segment may be shown to lose; default: three times --loss.",
)
@click.option("--exclude", multiple=True, help="A segment that stays expensive; may be given again.")
@click.option(
    "--router", default="unnamed", show_default=True, help="What gave the scores, with its version."
)
@click.option("--cheap", default="cheap", show_default=True, help="The cheap tier.")
@click.option("--expensive", default="expensive", show_default=True, help="The expensive tier.")
@click.option("--config", type=click.Path(path_type=Path), help="The gateway's configuration file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--apply", is_flag=True, help="Write the certificate into the state directory.")
def route(  # noqa: PLR0913 - each one is an option
    endpoint: str,
    loss: float,
    confidence: float,
    samples: Path,
    since: str,
    harm: Literal["regression", "net"],
    segment_loss: float | None,
    exclude: tuple[str, ...],
    router: str,
    cheap: str,
    expensive: str,
    config: Path | None,
    as_json: bool,
    apply: bool,
) -> int:
    """Certify the lowest score from which requests may go to the cheap tier, or refuse.

    Reads judged samples, requests that both tiers answered, from the file --samples; the ledger does not
    keep judged quality, so the file is the only source. Without --apply nothing is written. Exit status: 0
    with a certificate, 1 when it is refused or the samples cannot be read.
    """
    now_unix_s = time.time()
    settings = Config() if config is None else configuration.load(config, os.environ)
    if config is not None:
        _check_names(settings, endpoint, (cheap, expensive))
    given = route_samples.read(samples, since_unix_s=_since(since, now_unix_s))
    aim = calibrate_route.Aim(
        endpoint=endpoint,
        loss=loss,
        confidence=confidence,
        harm=harm,
        segment_loss=segment_loss,
        exclude=frozenset(exclude),
    )
    scope = RouteScope(
        router=router,
        cheap=cheap,
        expensive=expensive,
        policy="" if config is None else policy_version(settings),
    )
    found = calibrate_route.calibrate(given.samples, aim, scope=scope, now_unix_s=now_unix_s)
    path = route_certificates.certificate_path(configuration.state_dir(settings, os.environ), endpoint)
    written = apply and found.certificate is not None
    if written and found.certificate is not None:
        route_certificates.save(path, found.certificate)
    if as_json:
        shown = msgspec.structs.asdict(found)
        left_out = {"repeated": given.repeated, "early": given.early}
        told = {**shown, "left_out": left_out, "file": str(path), "written": written}
        click.echo(msgspec.json.encode(told).decode())
        return 0 if found.certificate is not None else REFUSED
    if given.repeated or given.early:
        click.echo(f"left out: {given.repeated:,} repeated, {given.early:,} too early or without a time")
    click.echo("\n".join(route_story.story(found)))
    if found.certificate is not None:
        click.echo(f"\nwritten to {path}" if written else "\ndry run: --apply writes it")
    return 0 if found.certificate is not None else REFUSED


def _since(since: str, now_unix_s: float) -> float | None:
    if since == "all":
        return None
    try:
        return reports.parse_since(since, now_unix_s)
    except ValueError as why:
        raise click.BadParameter(str(why), param_hint="--since") from why


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
