"""The state of routing policies, from the files that the gateway keeps next to its ledger."""

import logging
from pathlib import Path

import msgspec

from farthing.errors import ConfigError
from farthing.guarantees.monitor.error_rate import EndpointState
from farthing.guarantees.monitor.routing import WATCH_FILE, RouteMonitor
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.versions import PolicyBook, label_of
from farthing.insight.render.rows import counted

log = logging.getLogger("farthing.route")


class PolicyStanding(msgspec.Struct, frozen=True, kw_only=True):
    """The policy of one endpoint, with the monitor's evidence about its versions."""

    book: PolicyBook
    watched: dict[int, EndpointState]
    """Version to its monitor's state, some seconds old; a version without audits is absent."""


class PolicyLine(msgspec.Struct, frozen=True, kw_only=True):
    """The policy as one line of the report."""

    endpoint: str
    serving: int
    candidate: int | None
    share: float
    retreated: list[int]
    """Versions that audits keep with the expensive tier."""
    audits: int
    """Audits of the serving version, since the start or its last return."""
    loss_upper: float | None
    """Upper bound of its loss per request; None without audits."""
    risk_max: float | None
    """The bound that its certificate promises; None: the configuration serves."""


def standing(state_dir: Path, endpoint: str) -> PolicyStanding | None:
    """None: the endpoint has no policy.

    Raises:
        ConfigError: its file cannot be read.
    """
    book = versions.load(versions.place(state_dir, endpoint))
    return None if book is None else _standing(book, _watched(state_dir))


def standings(state_dir: Path) -> list[PolicyStanding]:
    """All endpoints with a policy, by name. Unreadable files are logged and left out."""
    watched = _watched(state_dir)
    found = []
    for path in sorted(versions.folder_of(state_dir).glob("*.json")):
        try:
            book = versions.load(path)
        except ConfigError as error:
            log.warning("%s", error)
            continue
        if book is not None:
            found.append(_standing(book, watched))
    return found


def line(one: PolicyStanding) -> PolicyLine:
    book = one.book
    serving = book.version(book.serving)
    state = one.watched.get(book.serving)
    return PolicyLine(
        endpoint=book.endpoint,
        serving=book.serving,
        candidate=book.candidate,
        share=book.share,
        retreated=sorted(number for number, watch in one.watched.items() if watch.retreated),
        audits=0 if state is None else state.audits,
        loss_upper=None if state is None or not (state.audits or state.fresh) else state.upper,
        risk_max=None if serving is None else serving.certificate.risk_max,
    )


def lines(state_dir: Path) -> list[PolicyLine]:
    """One line per endpoint with a policy."""
    return [line(one) for one in standings(state_dir)]


def said(one: PolicyLine) -> str:
    """The line as text."""
    serving = "the configuration" if one.serving == versions.CONFIGURED else f"version {one.serving}"
    text = f"{one.endpoint}: {serving} serves"
    if one.candidate is not None:
        text += f", version {one.candidate} decides {one.share:.1%}"
    if one.risk_max is not None:
        upper = "unknown" if one.loss_upper is None else f"at most {one.loss_upper:.2%}"
        audits = counted(one.audits, "audit")
        text += f"; loss {upper} by {audits}, promised at most {one.risk_max:.2%}"
    if one.retreated:
        versions_told = "version" if len(one.retreated) == 1 else "versions"
        text += f"; TRIPPED, all to the expensive tier: {versions_told} {', '.join(map(str, one.retreated))}"
    return text


def _standing(book: PolicyBook, watched: dict[str, EndpointState]) -> PolicyStanding:
    labels = {one.number: label_of(book.endpoint, one.number) for one in book.versions}
    return PolicyStanding(
        book=book, watched={number: watched[label] for number, label in labels.items() if label in watched}
    )


def _watched(state_dir: Path) -> dict[str, EndpointState]:
    watch = RouteMonitor()
    try:
        watch.restore((state_dir / WATCH_FILE).read_bytes())
    except (OSError, ValueError):  # the gateway logs a damaged file, and starts over
        return {}
    return watch.states()
