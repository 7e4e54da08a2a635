"""Live totals of what calls took in the network and at the provider, and of opening connections."""

from collections.abc import Collection, Iterable, Iterator

from farthing.types import Attempt

SERIES_MAX = 500
OTHER = "other"


class _Way:
    __slots__ = ("connect_ms", "network_ms", "opened", "provider_ms", "tls_ms", "told")

    def __init__(self) -> None:
        self.told = self.opened = 0
        self.network_ms = self.provider_ms = self.connect_ms = self.tls_ms = 0.0


class WayMetrics:
    """Totals of one process, by target."""

    def __init__(self) -> None:
        self._ways: dict[str, _Way] = {}

    def add(self, attempt: Attempt) -> None:
        """Take one call of which something is known."""
        way = self._ways.get(attempt.target)
        if way is None:
            name = attempt.target if len(self._ways) < SERIES_MAX else OTHER
            way = self._ways.setdefault(name, _Way())
        if attempt.provider_ms is not None:
            way.told += 1
            way.provider_ms += attempt.provider_ms
            way.network_ms += attempt.network_ms or 0.0
        if attempt.connect_ms is not None:
            way.opened += 1
            way.connect_ms += attempt.connect_ms
            way.tls_ms += attempt.tls_ms or 0.0

    def families(
        self, shown: Collection[str] | None
    ) -> Iterator[tuple[str, str, str, Iterable[tuple[dict[str, str], float]]]]:
        """Name, type, help text and labelled values, of the targets in `shown` by their names."""
        ways: dict[str, list[_Way]] = {}
        for target, way in self._ways.items():
            ways.setdefault(target if shown is None or target in shown else OTHER, []).append(way)
        for name, about, field, factor in FAMILIES:
            values = [
                ({"target": target}, sum(getattr(way, field) for way in those) * factor)
                for target, those in ways.items()
            ]
            yield name, "counter", about, values


FAMILIES = (
    (
        "farthing_upstream_timed_calls_total",
        "Calls whose provider says how long it worked.",
        "told",
        1,
    ),
    (
        "farthing_upstream_provider_seconds_total",
        "What providers say they worked on these calls.",
        "provider_ms",
        0.001,
    ),
    (
        "farthing_upstream_network_seconds_total",
        "What these calls took beside that, in the network.",
        "network_ms",
        0.001,
    ),
    ("farthing_upstream_connections_total", "Connections opened for calls.", "opened", 1),
    (
        "farthing_upstream_connect_seconds_total",
        "What opening them took, TLS included.",
        "connect_ms",
        0.001,
    ),
    ("farthing_upstream_tls_seconds_total", "The part of it that TLS took.", "tls_ms", 0.001),
)
