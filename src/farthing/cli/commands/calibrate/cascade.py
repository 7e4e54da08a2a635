"""`farthing calibrate cascade`: from which score on a checked answer may go out, for each model."""

import time
from pathlib import Path

import click
import msgspec

from farthing.cli.reading import config_option, ledger_option, located, settled
from farthing.cli.renamed import RenamedOption
from farthing.cli.since import SINCE_HELP, since_of
from farthing.config import CascadeConfig, Config, ConsistencyCheckConfig, LogprobsCheckConfig
from farthing.errors import ConfigError
from farthing.guarantees.calibrate import cascade as calibrate_cascade
from farthing.guarantees.calibrate import cascade_samples
from farthing.guarantees.certificates import cascade as cascade_certificate
from farthing.insight import renamed
from farthing.wiring.cascade import MEASURES, cascade_scope

REFUSED = 1


@click.command("cascade")
@click.option("--endpoint", required=True, help="Whose cascade.")
@click.option(
    "--risk-max",
    cls=RenamedOption,
    old="--loss",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    required=True,
    help="Quality per request that may be lost, over all that a model answers first.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 1, max_open=True), default=0.9, show_default=True)
@click.option(
    "--samples",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON lines: score, cheap, expensive; may have model, request_id, weight or propensity, at. "
    "Default: the explored requests of the ledger.",
)
@ledger_option
@click.option("--since", default="all", show_default=True, help=SINCE_HELP)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--apply", is_flag=True, help="Write the certificate where the gateway reads it.")
def command(
    endpoint: str,
    risk_max: float,
    confidence: float,
    samples: Path | None,
    ledger: Path | None,
    since: str,
    config: Path | None,
    as_json: bool,
    apply: bool,
) -> int:
    """Certify, for each model, the lowest score from which its answers may go out unescalated, or refuse.

    The score is that of the endpoint's check logprobs or consistency. Reads requests that both tiers answered
    and that were judged: from the file --samples, else the explored ones of the ledger. Without --apply
    nothing is written. Exit status: 0 with a certificate for one model at least, else 1.
    """
    now_unix_s = time.time()
    source = located(ledger, config) if samples is None else None
    known = settled(config) if source is None else source.settings
    if known.file is None:
        raise ConfigError("no configuration file: give --config FILE, which has the cascade")
    settings = known.config
    cascade, check = _measured(settings, endpoint)
    scope = cascade_scope(settings, cascade, check)
    wanted = cascade_samples.Wanted(
        endpoint=endpoint,
        check=check.name,
        cheap=cascade.first,
        expensive=cascade.then,
        target=scope.target,
        model=settings.tiers[cascade.first].targets[0],
    )
    since_unix_s = since_of(since, now_unix_s)
    if samples is not None:
        given = cascade_samples.from_file(samples, wanted, since_unix_s=since_unix_s)
    else:
        assert source is not None
        given = cascade_samples.from_ledger(source.ledger, wanted, since_unix_s=since_unix_s)
    found = calibrate_cascade.calibrate(
        given, endpoint=endpoint, risk_max=risk_max, confidence=confidence, scope=scope, now_unix_s=now_unix_s
    )
    path = cascade_certificate.path(known.state_dir, endpoint)
    written = apply and found.certificate is not None
    if written and found.certificate is not None:
        cascade_certificate.save(path, found.certificate)
    if as_json:
        shown = {**msgspec.structs.asdict(found), "loss": found.risk_max}  # its name in the last release
        click.echo(renamed.encode({**shown, "file": str(path), "written": written}).decode())
    else:
        click.echo("\n".join(calibrate_cascade.story(found, scope)))
        if found.certificate is not None:
            click.echo(
                f"\nwritten to {path}; reload the gateway" if written else "\ndry run: --apply writes it"
            )
    return 0 if found.certificate is not None else REFUSED


def _measured(
    settings: Config, endpoint: str
) -> tuple[CascadeConfig, LogprobsCheckConfig | ConsistencyCheckConfig]:
    """The cascade of the endpoint and its check that gives a score.

    Raises:
        ConfigError: there is no such endpoint, cascade or check.
    """
    named = settings.endpoints.get(endpoint)
    if named is None:
        raise ConfigError(f"no endpoint {endpoint!r}; there are {', '.join(settings.endpoints) or 'none'}")
    if named.cascade is None:
        raise ConfigError(f"endpoint {endpoint!r} has no cascade; add [endpoints.{endpoint}.cascade]")
    for check in named.cascade.checks:
        if isinstance(check, MEASURES):
            return named.cascade, check
    raise ConfigError(
        f"no check of endpoint {endpoint!r} gives a score; add one of the kind logprobs or consistency"
    )
