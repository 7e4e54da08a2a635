"""Suspends the certificates that rest on a target whose model has changed."""

import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from farthing.config import Config
from farthing.guarantees.monitor.error_rate import ErrorRateMonitor
from farthing.guarantees.monitor.models import FILE, ModelChange, ModelWatch
from farthing.guarantees.policy.applied import Policies
from farthing.stores.state_file import StateFile

log = logging.getLogger("farthing.models")


class ModelParts:
    """The models behind all targets, over restarts and reloads."""

    def __init__(self, state_dir: Path | None = None) -> None:
        """Without `state_dir` nothing outlives the process. Opens nothing."""
        self.watch = ModelWatch(clock=time.time)
        self._file = None
        if state_dir is not None:
            self._file = StateFile(
                self.watch,
                state_dir / FILE,
                log=log,
                anew="which models answer is learnt anew, and a change since then is not noticed",
            )
        self._opened = False
        self.run: Callable[[], Coroutine[Any, Any, None]] | None = (
            None if self._file is None else self._file.run
        )

    def open(self) -> None:
        """Read what was known before. A second call does nothing."""
        if not self._opened and self._file is not None:
            self._file.open()
        self._opened = True

    def serve(self, config: Config) -> None:
        """Serve `config` from now on."""
        self.watch.identity = config.call.model_identity

    def save(self) -> None:
        """Save what changed."""
        if self._file is not None:
            self._file.save()


def suspend_routing(watch: ModelWatch, policies: Policies, tiers: dict[str, tuple[str, ...]]) -> None:
    """Suspend the versions whose certificates are older than a change of a target of their tiers. `tiers`:
    the names of the targets of each."""
    for label in policies.watched():
        targets = {name for tier in policies.tiers_of(label) for name in tiers.get(tier, ())}
        found = watch.latest(targets)
        if found is not None:
            policies.watch.suspend(label, why(*found), found[1].at_unix_s)


def suspend_semantic(watch: ModelWatch, bound: ErrorRateMonitor) -> None:
    """Suspend the semantic caches whose certificates are older than a change of a target that answers
    there."""
    for endpoint in bound.states():
        found = watch.latest_at(endpoint)
        if found is not None:
            bound.suspend(endpoint, why(*found), found[1].at_unix_s)


def why(target: str, change: ModelChange) -> str:
    """Why a certificate is suspended, in words."""
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(change.at_unix_s))
    return f"since {day} {change.story(target)}, which was not measured"
