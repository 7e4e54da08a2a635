"""`farthing calibrate cascade`: from which score on a checked answer may go out, for each model."""

import os
import time

import click

from farthing.cli.calibration import CERTIFIED, REFUSED, AskedOfSamples, asked, shown, told
from farthing.cli.reading import located, settled
from farthing.cli.since import since_of
from farthing.config import CascadeConfig, Config, ConsistencyCheckConfig, LogprobsCheckConfig, no_file
from farthing.errors import ConfigError
from farthing.guarantees.calibrate import cascade as calibrate_cascade
from farthing.guarantees.calibrate import cascade_samples
from farthing.guarantees.certificates import cascade as cascade_certificate
from farthing.insight.source import unknown_endpoint
from farthing.wiring.cascade import MEASURES, cascade_scope


@click.command("cascade")
@asked(
    AskedOfSamples,
    whose="Whose cascade.",
    risk="Quality per request that may be lost, over all that a model answers first.",
    samples="score, cheap, expensive; may have model, request_id, weight or propensity, at",
    applies="Write the certificate where the gateway reads it.",
)
def command(given: AskedOfSamples) -> int:
    """Certify, for each model, the lowest score from which its answers may go out unescalated, or refuse.

    The score is that of the endpoint's check logprobs or consistency. Reads requests that both tiers answered
    and that were judged: from the file --samples, else the explored ones of the ledger. Without --apply
    nothing is written. Exit status: 0 with a certificate for one model at least, else 1.
    """
    now_unix_s = time.time()
    source = located(given.ledger, given.config) if given.samples is None else None
    known = settled(given.config) if source is None else source.settings
    if known.file is None:
        raise no_file(os.environ)
    settings = known.config
    cascade, check = _measured(settings, given.endpoint)
    scope = cascade_scope(settings, cascade, check)
    wanted = cascade_samples.SampleFilter(
        endpoint=given.endpoint,
        check=check.name,
        cheap=cascade.first,
        expensive=cascade.then,
        target=scope.target,
        model=settings.tiers[cascade.first].targets[0],
    )
    since_unix_s = since_of(given.since, now_unix_s)
    if given.samples is not None:
        samples = cascade_samples.from_file(given.samples, wanted, since_unix_s=since_unix_s)
    else:
        assert source is not None
        samples = cascade_samples.from_ledger(source.ledger, wanted, since_unix_s=since_unix_s)
    found = calibrate_cascade.calibrate(
        samples,
        endpoint=given.endpoint,
        risk_max=given.risk_max,
        confidence=given.confidence,
        scope=scope,
        now_unix_s=now_unix_s,
    )
    path = cascade_certificate.path(known.state_dir, given.endpoint)
    written = given.apply and found.certificate is not None
    if written and found.certificate is not None:
        cascade_certificate.save(path, found.certificate)
    if given.as_json:
        shown(found, file=str(path), written=written)
    else:
        told(
            calibrate_cascade.story(found, scope),
            certified=found.certificate is not None,
            written=f"written to {path}; reload the gateway" if written else "",
        )
    return CERTIFIED if found.certificate is not None else REFUSED


def _measured(
    settings: Config, endpoint: str
) -> tuple[CascadeConfig, LogprobsCheckConfig | ConsistencyCheckConfig]:
    """The cascade of the endpoint and its check that gives a score.

    Raises:
        ConfigError: there is no such endpoint, cascade or check.
    """
    named = settings.endpoints.get(endpoint)
    if named is None and endpoint != "default":
        raise ConfigError(unknown_endpoint(endpoint, ("default",), settings))
    if named is None or named.cascade is None:
        raise ConfigError(f"endpoint {endpoint!r} has no cascade; add [endpoints.{endpoint}.cascade]")
    for check in named.cascade.checks:
        if isinstance(check, MEASURES):
            return named.cascade, check
    raise ConfigError(
        f"no check of endpoint {endpoint!r} gives a score; add one of the kind logprobs or consistency"
    )
