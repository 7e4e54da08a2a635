"""The result of calibrating a router, as text."""

from collections.abc import Sequence
from datetime import UTC, datetime

from farthing.guarantees.calibrate.route_thresholds import Step
from farthing.guarantees.calibrate.routing import Calibration


def story(found: Calibration) -> list[str]:
    """The result as lines of plain text."""
    thinned_out = found.samples - found.counted
    lines = [
        f"Routing of {found.endpoint}: {found.samples:,} judged samples"
        f"{f', {thinned_out:,} thinned out by weight' if thinned_out else ''}: {found.train:,} to train, "
        f"{found.calibrate:,} to calibrate, {found.audit:,} to audit",
    ]
    shown = [step for step in found.steps if step.result != "not tested"]
    if shown:
        lines += ["", "threshold      goes cheap    lost  p-value"]
    for step in _some(shown):
        name = "all expensive" if step.threshold is None else f"{step.threshold:.6g}"
        lines.append(
            f"{name:<13}  {step.cheap_share:>10.1%}  {step.lost:>6.4g}  {step.p_value:>7.4f}  {step.result}"
        )
    if found.segments:
        lines += ["", "segment                         n    lost  at most  goes cheap"]
        lines += [
            f"{one.name:<26.26}  {one.n:>5,}  {one.lost:>6.4g}  {one.upper:>7.2%}  {one.cheap_share:>10.1%}  "
            f"{one.result}{f', {one.more_needed:,} more needed' if one.more_needed else ''}"
            for one in found.segments
        ]
    lines.append("")
    made = found.certificate
    if made is None:
        return [*lines, f"REFUSED: {found.refusal}"]
    net = "net of what cheap answers gain, " if made.harm == "net" else ""
    excluded = sorted(made.excluded)
    made_at = datetime.fromtimestamp(made.made_unix_s, UTC)
    return [
        *lines,
        f"CERTIFICATE: with scores of {made.threshold:.6g} and above going to {made.scope.cheap!r}, at most "
        f"{made.risk_max:.3g} of quality per request is lost, {net}with confidence {1 - made.delta:.3g}",
        f"  goes cheap {made.cheap_share:.1%} of the requests",
        f"  shown by   {made.lost:.4g} lost of {made.n:,} ({made.test} test, p {made.p_value:.4f}, one look)",
        f"  audit      {made.audit_lost:.4g} lost of {made.audit_n:,} held back",
        *([f"  excluded   {', '.join(excluded)}: all expensive"] if excluded else []),
        f"  scope      {made.endpoint}: router {made.scope.router}, {made.scope.cheap} instead of "
        f"{made.scope.expensive}{f', policy {made.scope.policy}' if made.scope.policy else ''}",
        f"  made       {made_at:%Y-%m-%d %H:%MZ}, data {made.data_hash}",
        f"  the bound is on the loss according to people, from {made.labels:,} labels; segments use the judge"
        if made.labels
        else "  lost according to the judge, whose own errors the bound does not include; see --labels",
    ]


def _some(steps: Sequence[Step]) -> list[Step]:
    """The first, the last five, and every fifth between."""
    return [step for i, step in enumerate(steps) if i % 5 == 0 or i >= len(steps) - 5]
