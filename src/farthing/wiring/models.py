"""Suspends the certificates that rest on a target whose model has changed."""

import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from pathlib import Path
from typing import Any

from farthing.config import Config, EndpointConfig
from farthing.config.residency import asked_about, targets_of
from farthing.guarantees.monitor.error_rate import ErrorRateMonitor
from farthing.guarantees.monitor.models import FILE, ModelChange, ModelWatch, moment
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
        self.watch.serve(config.call.model_identity, watched_targets(config))

    def save(self) -> None:
        """Save what changed."""
        if self._file is not None:
            self._file.save()


def watched_targets(config: Config) -> frozenset[str]:
    """What the configuration names as a target of its own accord. What else clients ask for says nothing of
    what was measured."""
    found = {target for tier in config.tiers.values() for target in tier.targets}
    found.update(meaning for meaning in config.aliases.values() if "/" in meaning)
    found.update(target for one in config.endpoints.values() for _, target in asked_about(one))
    return frozenset(found)


def semantic_targets(config: Config, endpoint: str) -> tuple[str, ...]:
    """The targets on whose answers the certificate of the semantic cache of `endpoint` rests: not those that
    its clients name besides."""
    return targets_of(config, config.endpoints.get(endpoint, EndpointConfig()))


def suspend_routing(watch: ModelWatch, policies: Policies, tiers: Mapping[str, Collection[str]]) -> list[str]:
    """Suspend the versions whose certificates are older than a change of a target of their tiers; in words,
    those that were not before. `tiers`: the names of the targets of each."""
    suspended = []
    for label in policies.watched():
        targets = {name for tier in policies.tiers_of(label) for name in tiers.get(tier, ())}
        found = watch.latest(targets)
        if found is not None and policies.watch.suspend(label, why(*found), found[1].at_unix_s):
            endpoint = label.rpartition("@")[0]
            suspended.append(
                f"the routing policy {label}, whose requests go to the expensive tier "
                f"(`farthing calibrate route --endpoint {endpoint} --apply`)"
            )
    return suspended


def suspend_semantic(
    watch: ModelWatch, bound: ErrorRateMonitor, targets: Callable[[str], Collection[str]]
) -> list[str]:
    """Suspend the semantic caches whose certificates are older than a change of one of the `targets` of their
    endpoints that answers there; in words, those that were not before."""
    suspended = []
    for endpoint in bound.states():
        found = watch.latest_at(endpoint, targets(endpoint))
        if found is not None and bound.suspend(endpoint, why(*found), found[1].at_unix_s):
            suspended.append(
                f"the semantic cache of {endpoint}, which answers nothing "
                f"(`farthing calibrate cache --endpoint {endpoint} --apply`)"
            )
    return suspended


def why(target: str, change: ModelChange) -> str:
    """Why a certificate is suspended, in words."""
    return f"since {moment(change.at_unix_s)} {change.story(target)}, which was not measured"
