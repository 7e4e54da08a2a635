"""Targets that were seen to refuse marks: a server in front of a Claude may take none. Learnt once, and
forgotten after a day, as what else is learnt of refusals (`providers.learnt`)."""

from typing import Final

from farthing.errors import ProviderRejected
from farthing.models.prompt_cache.shares import Shares
from farthing.models.providers.learnt import KEPT_S, REFUSALS, TARGETS_MAX

NAMES: Final = ("cache_control", "cachepoint", "cache point")
"""What a refusal calls a mark, in lower case."""


class Refusals:
    """Which targets refuse marks, as each tenant has found: what the words of one client make a target say is
    held against nobody else."""

    def __init__(self) -> None:
        self._until_s: Shares[float] = Shares(TARGETS_MAX)

    def holds(self, tenant: str, target: str, now_s: float) -> bool:
        """Whether marks are not to be tried."""
        if not self._until_s.weight:
            return False
        until_s = self._until_s.get(tenant, target)
        return until_s is not None and now_s < until_s

    def note(self, tenant: str, target: str, error: ProviderRejected, now_s: float) -> bool:
        """Whether a refusal of a prompt with our marks names them: then none is tried for a day."""
        words = error.words.lower()
        if error.upstream_status not in REFUSALS or error.unasked or not any(name in words for name in NAMES):
            return False
        self._until_s.put(tenant, target, now_s + KEPT_S)
        return True
