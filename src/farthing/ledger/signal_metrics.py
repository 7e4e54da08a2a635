"""Live totals of signals about answers, updated by `Metrics.learned`."""

from collections.abc import Iterable, Iterator

from farthing.types import UNKNOWN, Signal

SERIES_MAX = 500
OTHER = "other"

Values = Iterable[tuple[dict[str, str], int | float]]


class _Learned:
    """Signals of one endpoint and source."""

    __slots__ = ("count", "known", "quality")

    def __init__(self) -> None:
        self.count = 0
        self.known = 0
        self.quality = 0.0
        """Sum of the known qualities."""


class SignalMetrics:
    """Counts signals. On the event loop; nothing here waits."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], _Learned] = {}

    def learn(self, signal: Signal) -> None:
        """Count one signal. Feedback does not name its endpoint: it counts as `unknown` here, and readers of
        the ledger find the endpoint there."""
        key = (signal.endpoint or UNKNOWN, signal.source)
        learned = self._learned.get(key)
        if learned is None:
            if len(self._learned) >= SERIES_MAX:
                key = (OTHER, signal.source)
            learned = self._learned.setdefault(key, _Learned())
        learned.count += 1
        if signal.quality is not None:
            learned.known += 1
            learned.quality += signal.quality

    def families(self) -> Iterator[tuple[str, str, str, Values]]:
        """Name, type, help text and labelled values."""
        rows = [({"endpoint": name, "source": source}, one) for (name, source), one in self._learned.items()]
        yield (
            "farthing_signals_total",
            "counter",
            "Signals about answers after delivery, by source.",
            [(labels, one.count) for labels, one in rows],
        )
        yield (
            "farthing_signals_unknown_total",
            "counter",
            "Of these, signals without a verdict.",
            [(labels, one.count - one.known) for labels, one in rows],
        )
        yield (
            "farthing_signal_quality_mean",
            "gauge",
            "Mean known quality from 0 to 1, since the start.",
            [(labels, one.quality / one.known) for labels, one in rows if one.known],
        )
