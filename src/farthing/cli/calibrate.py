"""`farthing calibrate`: measured promises, printed as certificates or refused."""

import os
import time
from pathlib import Path

import click
import msgspec

from farthing.brain.cache.semantic import certificate as certificates
from farthing.insight import audits, calibrate_cache, source
from farthing.insight import report as reports

REFUSED = 1


@click.group("calibrate")
def command() -> None:
    """Measure a promise on the ledger, and certify or refuse it."""


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
    try:
        since_unix_s = 0.0 if since == "all" else reports.parse_since(since, now_unix_s)
    except ValueError as why:
        raise click.BadParameter(str(why), param_hint="--since") from why
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
