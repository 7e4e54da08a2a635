"""The audited would-be hits of one endpoint, read from the ledger and grouped into independent clusters."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from farthing.ledger.rows import Intent
from farthing.ledger.semantic_watch import lookup_result
from farthing.types import Receipt

GRACE_S = 900.0  # equal answers are known at once, different ones only after the judge's verdict
ENTRY_MAX = 5
UNSERVABLE_MAX = 0.01  # share of proposals at a threshold that no audit may have been able to reach


class Audit(msgspec.Struct, kw_only=True):
    """One would-be hit that was compared with a fresh answer."""

    request_id: str
    at_unix_s: float
    entry: str
    probability: float
    wrong: bool | None
    """None: not judged."""
    by: str
    policy: str
    names: tuple[tuple[str, object], ...]
    """Keys that tie audits together: the pair, the session or the user, each combined with the entry."""


class Cluster(msgspec.Struct):
    """Audits that count as a single observation."""

    entry: str
    audits: list[Audit]


class Observations(msgspec.Struct, kw_only=True):
    """The audits and lookups found for one endpoint."""

    audits: list[Audit]
    """In order of arrival."""
    reach: dict[str, list[list[int]]]
    """Policy -> for each threshold, the number of proposals that reached it and how many of those no audit
    could reach: neither served nor compared."""
    looks: int
    left_out: int
    """Audits that are too old or too recent."""
    others: dict[str, int]
    """Lookups per endpoint, including this one."""


def observe(
    rows: Iterable[Intent | Receipt],
    *,
    endpoint: str,
    language: str = "en",
    grid: Sequence[float],
    since_unix_s: float,
    now_unix_s: float,
) -> Observations:
    """Collect, in one pass, the audits of requests in `language` that arrived between `since_unix_s` and
    `GRACE_S` ago."""
    seen = Observations(audits=[], reach={}, looks=0, left_out=0, others={})
    waiting: dict[str, Audit] = {}
    for row in rows:
        if isinstance(row, Intent):
            continue
        if row.purpose:
            audit = waiting.pop(row.about, None) if row.purpose == "judge" and row.audit else None
            if audit is not None:
                audit.wrong, audit.by = row.audit == "differs", row.target or "a judge"
            continue
        if lookup_result(row) is None:
            continue
        seen.others[row.endpoint] = seen.others.get(row.endpoint, 0) + 1
        if row.endpoint != endpoint or row.cache_language != language:
            continue
        seen.looks += 1
        if row.cache_probability is None:
            continue
        compared = _compared(row)
        if not since_unix_s <= row.at_unix_s <= now_unix_s - GRACE_S:
            seen.left_out += compared
            continue
        _note_reach(seen.reach, row, row.cache_probability, grid)
        if compared:
            audit = _audit(row, row.cache_probability)
            seen.audits.append(audit)
            if audit.wrong is None:
                waiting[audit.request_id] = audit
    seen.audits.sort(key=lambda audit: audit.at_unix_s)
    return seen


def _compared(row: Receipt) -> bool:
    """Whether this would-be hit was compared, or should have been: a complete fresh answer without a
    comparison counts as not judged."""
    if row.audit:
        return True
    complete = row.status == 200 and row.calls > 0 and row.stop_reason == "stop"
    return row.cache_would_hit and complete and "learn" not in row.skipped


def _audit(row: Receipt, probability: float) -> Audit:
    # The same question at the same entry has exactly the same cosine and probability. Two different questions
    # that agree in both are treated as one, which loses an audit but never adds one.
    pair = (row.similarity and round(row.similarity, 6), round(probability, 6))
    names: list[tuple[str, object]] = [(row.cache_entry, pair)]
    if row.session:
        names.append((row.cache_entry, ("session", row.tenant, row.session)))
    if row.user:
        names.append((row.cache_entry, ("user", row.user)))
    return Audit(
        request_id=row.request_id,
        at_unix_s=row.at_unix_s,
        entry=row.cache_entry,
        probability=probability,
        wrong={"agrees": False, "differs": True}.get(row.audit),
        by="words" if row.audit in ("agrees", "differs") else "nobody",
        policy=row.policy,
        names=tuple(names),
    )


def _note_reach(
    reach: dict[str, list[list[int]]], row: Receipt, probability: float, grid: Sequence[float]
) -> None:
    counts = reach.setdefault(row.policy, [[0, 0] for _ in grid])
    out_of_reach = not (row.audit or row.cache_would_hit or row.cache == "semantic")
    for index, threshold in enumerate(grid):
        if probability >= threshold:
            counts[index][0] += 1
            counts[index][1] += out_of_reach


def fair(seen: Observations, index: int) -> frozenset[str]:
    """The policies under which everything from threshold `index` of the grid up could be audited.

    While answers were served only from a higher threshold, audits were drawn only from above it; such audits
    are too optimistic for a lower threshold.
    """
    return frozenset(
        policy
        for policy, counts in seen.reach.items()
        if counts[index][1] <= UNSERVABLE_MAX * counts[index][0]
    )


def clusters(audits: Iterable[Audit]) -> list[Cluster]:
    """Group dependent audits: the same pair, or a session or user returning to an entry."""
    found: dict[tuple[str, object], Cluster] = {}
    made: list[Cluster] = []
    for audit in audits:
        cluster = next((found[name] for name in audit.names if name in found), None)
        if cluster is None:
            cluster = Cluster(audit.entry, [])
            made.append(cluster)
        cluster.audits.append(audit)
        for name in audit.names:
            found.setdefault(name, cluster)
    return made


def counted(whole: Iterable[Cluster], threshold: float, policies: frozenset[str]) -> Iterator[list[Audit]]:
    """The clusters that count at `threshold`, each as its audits there; at most `ENTRY_MAX` per entry."""
    of_entry: dict[str, int] = {}
    for cluster in whole:
        there = [
            audit for audit in cluster.audits if audit.probability >= threshold and audit.policy in policies
        ]
        if there and of_entry.get(cluster.entry, 0) < ENTRY_MAX:
            of_entry[cluster.entry] = of_entry.get(cluster.entry, 0) + 1
            yield there


def any_wrong(audits: Iterable[Audit]) -> bool:
    """Whether any audit was wrong. An unjudged audit counts as wrong, because its wording differs."""
    return any(audit.wrong is not False for audit in audits)
