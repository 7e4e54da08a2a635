"""Certify a semantic cache from audited would-be hits, or refuse and say what is missing.

**Choosing the threshold.** The thresholds of `GRID` were fixed before any data was seen, safest first. Each
is tested, with an exact binomial test, for "the rate of false hits at this probability and above exceeds the
loss". The first for which that is not refuted ends the sequence, and the last one before is certified. The
chance that a certified threshold has a higher rate than the loss is then at most delta, without dividing
delta among the thresholds: fixed-sequence testing, Angelopoulos et al. 2021, "Learn then Test", section 4.
The sequence begins where there are enough audits to allow for a few wrong ones. That uses counts only, and
keeps delta as long as hits do not become safer where the verifier is less sure. Nothing else is tuned on the
audits, so no part of them has to be held back. The last fifth by time is reported separately, and if it
contradicts the certificate, that is a refusal.

**Repeated looks.** The exact test is valid for one look. Whoever runs this every day until it certifies has
as many chances to be wrong; the certificate also gives the bound that holds however often one looked.

**What counts as one.** The test assumes independent outcomes, and repetitions are not: the same question
put to the same entry, or one user or session returning to an entry, counts as one audit, wrong if any part
of it was wrong. At most five audits per entry count, the first by time, because an entry's errors are
correlated. If the plain share over all audited hits exceeds the loss, nothing is certified either, whatever
the distinct ones show.

**What is left out.** Audits from before the gateway ran with its present embedder and verifier; those of
the last quarter of an hour, whatever their outcome; and, for each threshold, times at which not everything
above it could have been served. An audit without a verdict counts as wrong.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b

import msgspec

from farthing.errors import FarthingError
from farthing.guarantees.calibrate.audits import Audit, Observations, any_wrong, clusters, counted, fair
from farthing.guarantees.certificates.semantic_cache import Certificate, RunningScope
from farthing.stats import sequential
from farthing.stats.e_process import upper as upper_anytime
from farthing.stats.exact_tests import at_least, at_most, needed, upper

GRID = (
    *(0.9995, 0.999, 0.998, 0.997, 0.995, 0.9925, 0.99, 0.985, 0.98, 0.97, 0.96, 0.95, 0.94, 0.92, 0.9),
    *(0.875, 0.85, 0.825, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5),
)
SPARE = 3  # with 3,000 audits and 2 %, this keeps twice the hits of a start without spare wrong ones
LATER = 5  # the last fifth by time is reported separately
CONTRADICTS = 0.01  # p-value below which that fifth contradicts the certificate


class UnknownEndpoint(FarthingError):
    """Neither the configuration nor the ledger knows this endpoint."""

    code = "unknown_endpoint"


def unknown(endpoint: str, known: Sequence[str]) -> UnknownEndpoint:
    """The error that names the known endpoints."""
    there = f"there are {', '.join(known)}" if known else "the ledger has no lookup in a semantic cache"
    return UnknownEndpoint(
        f"no endpoint {endpoint!r} in the configuration or with a lookup in the ledger; {there}"
    )


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be certified."""

    endpoint: str
    language: str = "en"
    risk_max: float
    """Share of hits that may be false."""
    confidence: float

    @property
    def delta(self) -> float:
        return 1 - self.confidence


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One threshold of the grid."""

    threshold: float
    n: int
    """Audits that count at this probability and above."""
    wrong: int
    hits: int
    """All audited hits, including repetitions."""
    hits_wrong: int
    upper: float
    """Upper bound of the rate of false hits, one-sided at the confidence."""
    result: str
    """`holds`, `too few`, `not shown`, or `not tested` (an earlier threshold ended the sequence)."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The result of calibrating one endpoint."""

    endpoint: str
    language: str = "en"
    risk_max: float
    confidence: float
    certificate: Certificate | None
    refusal: str
    """Why there is no certificate; empty with a certificate."""
    more_needed: int | None
    """Further audited hits that would be enough if all were right; None: no number would be, or there is a
    certificate."""
    steps: list[Step]
    looks: int
    audits: int
    """Audits used, including repetitions."""
    unjudged: int
    """Audits without a verdict; they count as wrong."""
    left_out: int
    """Audits from before the present scope or the requested time, or too recent."""


def fixed_sequence(counts: Sequence[tuple[int, int]], risk_max: float, delta: float) -> int | None:
    """The index of the last threshold that holds, from (audits, wrong ones) per threshold, safest first.

    With probability at least 1 - delta its true rate is at most `risk_max`. None: no threshold was shown to
    hold.
    """
    first = first_tested(counts, risk_max, delta)
    held = sequential.held((at_most(wrong, n, risk_max) for n, wrong in counts[first:]), delta)
    return first + held - 1 if held else None


def first_tested(counts: Sequence[tuple[int, int]], risk_max: float, delta: float) -> int:
    """Where the sequence begins, chosen from the numbers of audits alone: where there are enough to allow a
    few wrong ones (`SPARE`, while that is at most half of all), because a sequence that one unlucky audit
    ends at its first test shows nothing. Past the end if there are too few for any."""
    most = max((n for n, _ in counts), default=0)
    enough = needed(0, risk_max, 1 - delta)
    for wrong in range(1, SPARE + 1):
        if 2 * (more := needed(wrong, risk_max, 1 - delta)) <= most:
            enough = more
    return next((index for index, (n, _) in enumerate(counts) if n >= enough), len(counts))


def calibrate(
    seen: Observations, aim: Aim, *, running: RunningScope | None, now_unix_s: float
) -> Calibration:
    """Certify the lowest threshold that the audits allow, or say why not."""
    together = clusters(seen.audits)
    used = [list(counted(together, threshold, fair(seen, i))) for i, threshold in enumerate(GRID)]
    counts = [(len(audits), sum(map(any_wrong, audits))) for audits in used]
    last = fixed_sequence(counts, aim.risk_max, aim.delta)
    steps = [_step(seen, aim, index, counts, last) for index in range(len(GRID))]
    certificate: Certificate | None = None
    refusal, more = _refusal(seen, steps, last, aim, running)
    best = _best(steps, aim)
    if best is not None and running is not None and not refusal:
        certificate = _certificate(used[best], steps[best], aim, running, now_unix_s)
        if at_least(certificate.later_wrong, certificate.later_n, aim.risk_max) < CONTRADICTS:
            refusal = (
                f"in the last fifth of the audits {certificate.later_wrong} of {certificate.later_n} were "
                f"wrong, which chance does not explain at {aim.risk_max:g}: something changed; "
                "calibrate with --since from then on"
            )
            certificate = None
    return Calibration(
        endpoint=aim.endpoint,
        language=aim.language,
        risk_max=aim.risk_max,
        confidence=aim.confidence,
        certificate=certificate,
        refusal=refusal,
        more_needed=more,
        steps=steps,
        looks=seen.looks,
        audits=len(seen.audits),
        unjudged=sum(audit.wrong is None for audit in seen.audits),
        left_out=seen.left_out,
    )


def _best(steps: Sequence[Step], aim: Aim) -> int | None:
    """The lowest threshold that holds and above which the plain share of wrong hits is within the loss, too.
    All that hold were shown together, so a safer one may be chosen."""
    fit = [
        index
        for index, step in enumerate(steps)
        if step.result == "holds" and step.hits_wrong <= aim.risk_max * step.hits
    ]
    return fit[-1] if fit else None


def _step(
    seen: Observations, aim: Aim, index: int, counts: Sequence[tuple[int, int]], last: int | None
) -> Step:
    threshold = GRID[index]
    n, wrong = counts[index]
    policies = fair(seen, index)
    hits = [audit for audit in seen.audits if audit.probability >= threshold and audit.policy in policies]
    first = first_tested(counts, aim.risk_max, aim.delta)
    if index < first:
        result = "too few"
    elif last is not None and index <= last:
        result = "holds"
    else:
        result = "not shown" if index == (first if last is None else last + 1) else "not tested"
    return Step(
        threshold=threshold,
        n=n,
        wrong=wrong,
        hits=len(hits),
        hits_wrong=sum(audit.wrong is not False for audit in hits),
        upper=upper(wrong, n, aim.confidence),
        result=result,
    )


def _refusal(
    seen: Observations,
    steps: Sequence[Step],
    last: int | None,
    aim: Aim,
    running: RunningScope | None,
) -> tuple[str, int | None]:
    """Why nothing is certified, and how many more audited hits would be enough; empty: no reason."""
    most = needed(0, aim.risk_max, aim.confidence)
    if running is None:
        return (
            "no gateway with a semantic cache has run on this state directory, so it is unknown which "
            "embedder and verifier the audits belong to",
            None,
        )
    if not seen.audits:
        left_out = f" ({seen.left_out} are too old or too recent)" if seen.left_out else ""
        return (
            f"{seen.looks} lookups and no audited hit{left_out}: run the endpoint with "
            f'cache.semantic.mode = "observe" until {most} are audited',
            most,
        )
    if last is None:
        counted_steps = [step for step in steps if step.n]
        if not counted_steps:
            return f"no audited hit reached {GRID[-1]:g} while everything above it could be audited", most
        step = min(counted_steps, key=lambda one: needed(one.wrong, aim.risk_max, aim.confidence) - one.n)
        more = needed(step.wrong, aim.risk_max, aim.confidence) - step.n
        if wrong_share := [s for s in steps if s.result == "not shown" and s.wrong > aim.risk_max * s.n]:
            tested = wrong_share[0]
            return (
                f"{tested.wrong} of {tested.n} audited hits at {tested.threshold:g} and above were wrong, "
                f"more than {aim.risk_max:g}: the safest threshold that can be tested is not safe",
                None if more > 10 * most else more,
            )
        return (
            f"{more} more audited hits are needed, all right, besides the {step.n} with {step.wrong} "
            f"wrong at {step.threshold:g} and above (at least {most} with none wrong for "
            f"{aim.risk_max:.3g} at {aim.confidence:.3g})",
            more,
        )
    if _best(steps, aim) is None:
        best = steps[last]
        return (
            f"{best.hits_wrong} of all {best.hits} audited hits at {best.threshold:g} and above were wrong, "
            f"more than {aim.risk_max:g}, though only {best.wrong} of the {best.n} distinct ones: wrong hits "
            "are asked more often",
            None,
        )
    return "", None


def _certificate(
    used: Sequence[list[Audit]],
    step: Step,
    aim: Aim,
    running: RunningScope,
    now_unix_s: float,
) -> Certificate:
    audits = sorted((audit for one in used for audit in one), key=lambda audit: audit.at_unix_s)
    later = sorted(used, key=lambda one: one[0].at_unix_s)[len(used) - len(used) // LATER :]
    return Certificate(
        endpoint=aim.endpoint,
        language=aim.language,
        threshold=step.threshold,
        risk_max=aim.risk_max,
        delta=round(aim.delta, 12),
        n=step.n,
        wrong=step.wrong,
        upper=step.upper,
        upper_anytime=upper_anytime(step.n, step.wrong, aim.delta),
        hits=step.hits,
        hits_wrong=step.hits_wrong,
        entries=len({audit.entry for audit in audits}),
        grid=GRID,
        made_unix_s=now_unix_s,
        audited_from_unix_s=audits[0].at_unix_s,
        audited_to_unix_s=audits[-1].at_unix_s,
        scope=running.scope,
        judged_by=tuple(sorted({audit.by for audit in audits})),
        policies=tuple(sorted({audit.policy for audit in audits})),
        data_hash=_digest(audits),
        later_n=len(later),
        later_wrong=sum(map(any_wrong, later)),
    )


def _digest(audits: Sequence[Audit]) -> str:
    """Equal for equal evidence."""
    rows = [(audit.request_id, audit.entry, audit.probability, audit.wrong) for audit in audits]
    return blake2b(msgspec.json.encode(rows), digest_size=16).hexdigest()


# -- for people -------------------------------------------------------------------------------------


def story(found: Calibration) -> list[str]:
    """The result as lines of plain text."""
    lines = [
        f"Semantic cache of {found.endpoint}, language {found.language}: {found.looks:,} lookups, "
        f"{found.audits:,} audited hits"
        f"{f' ({found.unjudged:,} not judged, taken as wrong)' if found.unjudged else ''}"
        f"{f', {found.left_out:,} left out' if found.left_out else ''}",
    ]
    if any(step.n for step in found.steps):
        lines += ["", "probability  audits  wrong  at most  all hits  wrong"]
    for step in found.steps:
        if step.n:
            lines.append(
                f"{step.threshold:>11g}  {step.n:>6,}  {step.wrong:>5,}  {step.upper:>7.2%}  "
                f"{step.hits:>8,}  {step.hits_wrong:>5,}  {step.result}"
            )
    lines.append("")
    made = found.certificate
    if made is None:
        return [*lines, f"REFUSED: {found.refusal}"]
    scope = made.scope
    return [
        *lines,
        f"CERTIFICATE: at {made.threshold:g} and above, at most {made.risk_max:.3g} of the hits are false, "
        f"with confidence {1 - made.delta:.3g}",
        f"  shown by   {made.wrong} wrong of {made.n:,} distinct audited hits at {made.entries:,} entries: "
        f"at most {made.upper:.3%}",
        f"  repeated   that holds for one run of calibrate; for daily runs until one certifies, at most "
        f"{made.upper_anytime:.3%}",
        f"  all hits   {made.hits_wrong} wrong of {made.hits:,}, including repetitions",
        f"  last fifth {made.later_wrong} wrong of {made.later_n:,}",
        f"  audited    {_moment(made.audited_from_unix_s)} to {_moment(made.audited_to_unix_s)}",
        f"  made       {_moment(made.made_unix_s)}, evidence {made.data_hash}",
        f"  scope      {scope.embedder}, {scope.verifier}, cosine from {scope.cosine_min:g}, partitioning "
        f"{scope.partitioning}, policies {', '.join(made.policies)}",
        f"  false as judged by {', '.join(made.judged_by)}: the bound does not include a judge's own errors",
    ]


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%MZ")
