"""Live totals of what was learned about answers, fed by `Metrics.learned`."""

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
        """Sum over those that are known."""


class SignalMetrics:
    """Counts signals. On the event loop; nothing here waits."""

    def __init__(self) -> None:
        self._learned: dict[tuple[str, str], _Learned] = {}

    def learn(self, signal: Signal) -> None:
        """Count one. Feedback does not say of which endpoint it is: that is `unknown` here, and found in the
        ledger by what reads it."""
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
        """Name, type, what it is, and its values by label."""
        rows = [({"endpoint": name, "source": source}, one) for (name, source), one in self._learned.items()]
        yield (
            "farthing_signals_total",
            "counter",
            "Things learned about answers after they were given, by what they come from.",
            [(labels, one.count) for labels, one in rows],
        )
        yield (
            "farthing_signals_unknown_total",
            "counter",
            "Of these, looks at an answer of which nothing could be told.",
            [(labels, one.count - one.known) for labels, one in rows],
        )
        yield (
            "farthing_signal_quality_mean",
            "gauge",
            "Mean quality from 0 to 1 of those that are known, since the start.",
            [(labels, one.quality / one.known) for labels, one in rows if one.known],
        )
