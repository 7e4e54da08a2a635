"""Routing policies and their comparison, as text."""

from collections.abc import Iterator
from datetime import UTC, datetime

from farthing.guarantees.monitor.error_rate import EndpointState
from farthing.guarantees.policy.versions import CONFIGURED, PolicyVersion
from farthing.insight.policies.compare import FIGURES, Compared
from farthing.insight.policies.state import PolicyStanding, line, said
from farthing.insight.render.money import usd
from farthing.insight.render.rows import counted
from farthing.stats.intervals import Difference, Measure

CHANGES_SHOWN = 20
MONEY = frozenset({"cost_nusd", "saved_nusd"})
TIME = frozenset({"p50_ms", "p95_ms"})


def story(one: PolicyStanding) -> list[str]:
    """A policy in plain lines: its state, its versions, its history."""
    book = one.book
    lines = [said(line(one)), "", "versions"]
    roles = {book.serving: "serves"}
    if book.candidate is not None:
        roles[book.candidate] = f"on trial, {book.share:.1%}"
    lines.append(f"  {CONFIGURED:>3}  the configuration{_role(roles, CONFIGURED)}")
    for version in book.versions:
        lines.append(
            f"  {version.number:>3}  made {_moment(version.made_unix_s)}{_role(roles, version.number)}"
        )
        lines += [f"       {text}" for text in _version(version, one.watched.get(version.number))]
    lines += ["", "changes"]
    for change in book.changes[-CHANGES_SHOWN:]:
        lines.append(f"  {_moment(change.at_unix_s)}  {_printable(change.who)}: {_printable(change.what)}")
    return lines


def _role(roles: dict[int, str], number: int) -> str:
    return f"  ({roles[number]})" if number in roles else ""


def _version(version: PolicyVersion, watch: EndpointState | None) -> Iterator[str]:
    certificate = version.certificate
    scope = certificate.scope
    yield (
        f"{scope.cheap} from score {certificate.threshold:.4g} on, else {scope.expensive}; loses at most "
        f"{certificate.risk_max:.3g} of quality per request, with confidence {1 - certificate.delta:.3g}; "
        f"{certificate.cheap_share:.1%} of the samples would go cheap"
    )
    samples = counted(certificate.n, "sample")
    yield f"scores of {scope.router}, {samples}, certified {_moment(certificate.made_unix_s)}"
    if certificate.excluded:
        yield f"always {scope.expensive}: {', '.join(sorted(certificate.excluded))}"
    if watch is None or not (watch.retreated or watch.audits or watch.fresh or watch.open or watch.lost):
        yield "not audited yet"
        return
    if watch.retreated and watch.since_unix_s is not None:
        yield (
            f"TRIPPED, all to {scope.expensive}, since {_moment(watch.since_unix_s)}: {watch.reason}; "
            f"{counted(watch.fresh, 'audit')} since"
        )
    segments = (
        f", {counted(watch.partitions_retreated, 'segment')} tripped" if watch.partitions_retreated else ""
    )
    yield (
        f"{counted(watch.audits, 'audit')}, {watch.wrong:,} with a loss of quality: loss at most "
        f"{watch.upper:.2%}; {watch.open:,} without a verdict yet, {watch.lost:,} that get none{segments}"
    )


def comparison(found: Compared) -> list[str]:
    """The comparison as a table with 95 % intervals, and its conclusion."""
    lines = [f"Routing of {found.endpoint}"]
    if not found.versions or not any(one.requests or one.explored for one in found.versions):
        lines.append("no version of its policy decided a request in this time")
    for one in found.versions:
        role = f", {one.arm}" if one.arm else ""
        requests = counted(one.requests, "request")
        lines += ["", f"{one.policy}{role}: {requests}, and {one.explored:,} explored"]
        for name, about in FIGURES.items():
            measure = getattr(one, name)
            if measure.value is not None:
                lines.append(f"  {about:<18} {_measure(name, measure)}")
    if found.differences:
        lines += ["", f"{found.candidate} compared with {found.serving}"]
        for name, about in FIGURES.items():
            difference = found.differences[name]
            if difference.value is not None:
                lines.append(f"  {about:<18} {_difference(name, difference)}")
    return [*lines, "", f"{found.verdict}"]


def _measure(name: str, measure: Measure) -> str:
    assert measure.value is not None, "figures without data are not shown"
    return f"{_value(name, measure.value)}{_bounds(name, measure.low, measure.high)}  n {measure.n:,}"


def _difference(name: str, difference: Difference) -> str:
    assert difference.value is not None, "figures without data are not shown"
    more = f", about {difference.more_needed:,} more requests needed" if difference.more_needed else ""
    sign = "+" if difference.value > 0 else ""
    return (
        f"{sign}{_value(name, difference.value)}{_bounds(name, difference.low, difference.high)}  "
        f"{difference.verdict}{more}"
    )


def _bounds(name: str, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return " [too few to bound]"
    return f" [{_value(name, low)}, {_value(name, high)}]"


def _value(name: str, value: float) -> str:
    if name in MONEY:
        return usd(round(value))
    if name in TIME:
        return f"{value:,.0f} ms"
    return f"{value:.2%}" if name in ("error_rate", "cheap_share") else f"{value:.3f}"


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%MZ")


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
