"""Live totals of the semantic cache and of the gateway's background jobs, fed by `Metrics.observe`."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Protocol

from farthing.ledger.semantic_watch import Watch, lookup_result
from farthing.types import Receipt

SERIES_MAX = 500
OTHER = "other"

Values = Iterable[tuple[dict[str, str], int | float | Decimal]]


class BoundState(Protocol):
    """The exported state of the monitor of an endpoint's false hits."""

    @property
    def retreated(self) -> bool: ...

    @property
    def upper(self) -> float: ...


class SemanticMetrics:
    """Counts lookups, audits and background jobs. On the event loop; nothing here waits."""

    def __init__(self) -> None:
        self.states: Callable[[], Mapping[str, BoundState]] | None = None
        """Called at each exposition for the monitor's state, by endpoint."""
        self._looks: dict[tuple[str, str], int] = {}
        self._audits: dict[tuple[str, str], int] = {}
        self._jobs: dict[str, tuple[int, int]] = {}
        """Purpose to the number of jobs, and the total of known costs."""
        self._watches: dict[str, Watch] = {}

    def look(self, receipt: Receipt) -> None:
        """Count the result of a client's request in the semantic cache."""
        result = lookup_result(receipt)
        if result is None:
            return
        endpoint = self._endpoint(receipt.endpoint)
        self._looks[endpoint, result] = self._looks.get((endpoint, result), 0) + 1
        self._watches[endpoint].add(result)
        if receipt.audit in ("agrees", "differs"):
            self._audits[endpoint, receipt.audit] = self._audits.get((endpoint, receipt.audit), 0) + 1

    def internal(self, receipt: Receipt) -> None:
        """Count an internal request of the gateway."""
        count, cost_nusd = self._jobs.get(receipt.purpose, (0, 0))
        self._jobs[receipt.purpose] = count + 1, cost_nusd + (receipt.cost_nusd or 0)
        if receipt.purpose == "judge" and receipt.audit in ("agrees", "differs"):
            endpoint = self._endpoint(receipt.endpoint)
            self._audits[endpoint, receipt.audit] = self._audits.get((endpoint, receipt.audit), 0) + 1

    def _endpoint(self, name: str) -> str:
        if name not in self._watches:
            if len(self._watches) >= SERIES_MAX:
                name = OTHER
            self._watches.setdefault(name, Watch())
        return name

    def families(self) -> Iterator[tuple[str, str, str, Values]]:
        """Name, type, help text and labelled values."""
        yield (
            "farthing_semantic_looks_total",
            "counter",
            "Lookups in the semantic cache, by result.",
            [({"endpoint": name, "result": result}, n) for (name, result), n in self._looks.items()],
        )
        yield (
            "farthing_semantic_audits_total",
            "counter",
            "Would-be hits compared with a fresh answer, by outcome.",
            [({"endpoint": name, "outcome": outcome}, n) for (name, outcome), n in self._audits.items()],
        )
        states = self.states() if self.states is not None else {}
        yield (
            "farthing_semantic_false_hit_upper",
            "gauge",
            "Upper bound on the share of false hits, at the endpoint's confidence.",
            [({"endpoint": name}, state.upper) for name, state in states.items()],
        )
        yield (
            "farthing_semantic_retreated",
            "gauge",
            "1 while the endpoint serves exact hits alone, because its false hits exceed the bound.",
            [({"endpoint": name}, int(state.retreated)) for name, state in states.items()],
        )
        yield (
            "farthing_semantic_alarm",
            "gauge",
            "1 while the semantic cache of an endpoint stopped helping.",
            [
                ({"endpoint": name, "alarm": alarm}, int(active))
                for name, watch in self._watches.items()
                for alarm, active in watch.alarms().items()
            ],
        )
        yield (
            "farthing_jobs_total",
            "counter",
            "Background jobs, which call models for the gateway itself; not counted as requests.",
            [({"purpose": purpose}, count) for purpose, (count, _) in self._jobs.items()],
        )
        yield (
            "farthing_job_cost_usd_total",
            "counter",
            "US dollars charged for background jobs; part of farthing_cost_usd_total.",
            [
                ({"purpose": purpose}, Decimal(cost_nusd).scaleb(-9))
                for purpose, (_, cost_nusd) in self._jobs.items()
            ],
        )
