"""The state of routing policies, for the metrics. Read at each exposition; nothing is counted here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Protocol

Values = Iterable[tuple[dict[str, str], int | float | Decimal]]


class WatchState(Protocol):
    """The exported state of the monitor of one version."""

    @property
    def retreated(self) -> bool: ...

    @property
    def partitions_retreated(self) -> int: ...

    @property
    def audits(self) -> int: ...

    @property
    def upper(self) -> float: ...


class ArmState(Protocol):
    """The exported state of one version that decides requests."""

    @property
    def endpoint(self) -> str: ...

    @property
    def arm(self) -> str: ...

    @property
    def number(self) -> int: ...

    @property
    def share(self) -> float: ...

    @property
    def refused(self) -> str: ...

    @property
    def watch(self) -> WatchState | None: ...


class RouteMetrics:
    """Gauges by endpoint and arm, `serving` or `candidate`."""

    def __init__(self) -> None:
        self.states: Callable[[], Sequence[ArmState]] | None = None

    def families(self) -> Iterator[tuple[str, str, str, Values]]:
        """Name, type, help text and labelled values."""
        states = self.states() if self.states is not None else ()
        arms = [({"endpoint": one.endpoint, "arm": one.arm}, one) for one in states]
        watched = [(labels, one.watch) for labels, one in arms if one.watch is not None]
        yield (
            "farthing_route_policy_version",
            "gauge",
            "Version of the endpoint's routing policy; 0 is the configuration.",
            [(labels, one.number) for labels, one in arms],
        )
        yield (
            "farthing_route_policy_share",
            "gauge",
            "Share of the traffic that the version decides.",
            [(labels, one.share) for labels, one in arms],
        )
        yield (
            "farthing_route_policy_refused",
            "gauge",
            "1 while the version's certificate does not hold here, so all goes to the expensive tier.",
            [(labels, int(bool(one.refused))) for labels, one in arms],
        )
        yield (
            "farthing_route_retreated",
            "gauge",
            "1 while audits keep the version's traffic with the expensive tier.",
            [(labels, int(watch.retreated)) for labels, watch in watched],
        )
        yield (
            "farthing_route_segments_retreated",
            "gauge",
            "Segments of the version's traffic that audits keep with the expensive tier.",
            [(labels, watch.partitions_retreated) for labels, watch in watched],
        )
        yield (
            "farthing_route_audits",
            "gauge",
            "Explored requests whose loss of quality is known, since the start or the last return.",
            [(labels, watch.audits) for labels, watch in watched],
        )
        yield (
            "farthing_route_loss_upper",
            "gauge",
            "Upper bound on the loss of quality per request, at the certificate's confidence.",
            [(labels, watch.upper) for labels, watch in watched],
        )
