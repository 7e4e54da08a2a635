"""Keeps a monitor's state across restarts, in a small JSON file in the state directory."""

from pathlib import Path

from farthing.guarantees.monitor.error_rate import ErrorRateMonitor
from farthing.stores.state_file import StateFile


class WatchFile(StateFile):
    """The file of one monitor. What a crash loses of its outcomes only delays an alarm."""

    def __init__(self, watch: ErrorRateMonitor, path: Path) -> None:
        words = watch.words
        super().__init__(watch, path, log=words.log, anew=f"{words.outcomes} are counted from zero")
