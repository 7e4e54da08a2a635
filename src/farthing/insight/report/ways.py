"""What calls of each target took in the network and at the provider, and which models answered."""

from collections.abc import Iterator

import msgspec

from farthing.stats.histogram import LogHistogram
from farthing.types import Receipt

MODELS_MAX = 8
"""Names that are remembered of one target, the latest ones."""
FINGERPRINTS_MAX = 100
"""Counted of one target."""


class AnsweringModel(msgspec.Struct, kw_only=True):
    """A model that answered for a target."""

    model: str
    first_unix_s: float
    last_unix_s: float
    answers: int = 0


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one target, background jobs included."""

    target: str
    timed: int
    """Calls whose provider says how long it worked."""
    network_ms_p50: float | None
    network_ms_p95: float | None
    provider_ms_p50: float | None
    network_share: float | None
    """Of the time of those calls together."""
    connections: int
    """Opened for calls."""
    connect_ms_p50: float | None
    rtt_ms: float | None
    """As last estimated."""
    models: list[AnsweringModel]
    """The latest, in the order in which they first answered."""
    models_seen: int
    fingerprints: int
    """Different ones, `FINGERPRINTS_MAX` at most."""


class _Sums:
    def __init__(self) -> None:
        self.network, self.provider, self.connect = LogHistogram(), LogHistogram(), LogHistogram()
        self.rtt_ms: float | None = None
        self.models: dict[str, AnsweringModel] = {}
        self.models_seen = 0
        self.fingerprints: set[str] = set()


class WaySums:
    """Receipts in any order, summed by target."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sums] = {}

    def add(self, receipt: Receipt) -> None:
        for attempt in receipt.attempts:
            if attempt.provider_ms is None and attempt.connect_ms is None and not attempt.model:
                continue
            sums = self._sums.get(attempt.target)
            if sums is None:
                sums = self._sums[attempt.target] = _Sums()
            if attempt.provider_ms is not None and attempt.network_ms is not None:
                sums.provider.add(attempt.provider_ms)
                sums.network.add(attempt.network_ms)
            if attempt.connect_ms is not None:
                sums.connect.add(attempt.connect_ms)
            sums.rtt_ms = sums.rtt_ms if attempt.rtt_ms is None else attempt.rtt_ms
            if attempt.model:
                _add_model(sums, attempt.model, receipt.at_unix_s)
            if attempt.fingerprint and len(sums.fingerprints) < FINGERPRINTS_MAX:
                sums.fingerprints.add(attempt.fingerprint)

    def ways(self) -> list[Way]:
        """By target."""
        return [_way(target, sums) for target, sums in sorted(self._sums.items())]


def _add_model(sums: _Sums, name: str, at_unix_s: float) -> None:
    one = sums.models.get(name)
    if one is None:
        sums.models_seen += 1
        one = sums.models[name] = AnsweringModel(model=name, first_unix_s=at_unix_s, last_unix_s=at_unix_s)
        if len(sums.models) > MODELS_MAX:
            del sums.models[min(sums.models, key=lambda known: sums.models[known].last_unix_s)]
    one.answers += 1
    one.first_unix_s = min(one.first_unix_s, at_unix_s)
    one.last_unix_s = max(one.last_unix_s, at_unix_s)


def _way(target: str, sums: _Sums) -> Way:
    timed, both_ms = sums.network.count, sums.network.sum_ms + sums.provider.sum_ms
    return Way(
        target=target,
        timed=timed,
        network_ms_p50=sums.network.quantile_ms(0.5),
        network_ms_p95=sums.network.quantile_ms(0.95),
        provider_ms_p50=sums.provider.quantile_ms(0.5),
        network_share=sums.network.sum_ms / both_ms if both_ms else None,
        connections=sums.connect.count,
        connect_ms_p50=sums.connect.quantile_ms(0.5),
        rtt_ms=sums.rtt_ms,
        models=sorted(sums.models.values(), key=lambda one: one.first_unix_s),
        models_seen=sums.models_seen,
        fingerprints=len(sums.fingerprints),
    )


def lines(ways: list[Way]) -> Iterator[str]:
    """What is worth a line of text."""
    for way in ways:
        parts = []
        if way.timed and way.network_share is not None:
            parts.append(
                f"network {_ms(way.network_ms_p50)} of {_ms(way.provider_ms_p50)} at the provider "
                f"(median of {way.timed:,} calls; {way.network_share:.0%} of their time, "
                f"p95 {_ms(way.network_ms_p95)})"
            )
        if way.connections and way.timed:
            parts.append(f"{way.connections:,} connections opened, {_ms(way.connect_ms_p50)} each")
        if way.models_seen > 1:
            named = ", then ".join(one.model for one in way.models)
            parts.append(f"answered by {way.models_seen:,} models: {named}")
        if parts:
            yield f"{way.target}: {'; '.join(parts)}"


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} ms"
