"""Bounded tables that tenants share fairly: who has most gives way, so that nobody can drive out what others
have."""

import itertools
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

V = TypeVar("V")
CLASSES: Final = 64


class _Held(Generic[V]):
    """What one tenant has, that used longest ago first, each with its weight."""

    __slots__ = ("entries", "weight")

    def __init__(self) -> None:
        self.entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self.weight = 0


class Shares(Generic[V]):
    """Values by tenant and key, of `weight_max` together at most, each of which weighs 1 if nothing else is
    said. Where it is too much, the tenant that has most loses what it used longest ago: of those that have
    as much to within a factor of two, the one that wants more. Every operation takes the same time, however
    many tenants there are."""

    __slots__ = ("_classes", "_tenants", "_weight_max", "weight")

    def __init__(self, weight_max: int) -> None:
        self._weight_max = weight_max
        self._tenants: dict[str, _Held[V]] = {}
        self._classes: list[dict[str, None]] = [{} for _ in range(CLASSES)]
        """Tenants by the bits of their weights."""
        self.weight = 0

    def __len__(self) -> int:
        """How many values there are. Takes time for each tenant."""
        return sum(len(held.entries) for held in self._tenants.values())

    def get(self, tenant: str, key: Hashable) -> V | None:
        held = self._tenants.get(tenant)
        if held is None:
            return None
        found = held.entries.get(key)
        return None if found is None else found[0]

    def used(self, tenant: str, key: Hashable) -> None:
        """Keep what is there longer than what was used before it."""
        self._tenants[tenant].entries.move_to_end(key)

    def put(self, tenant: str, key: Hashable, value: V, weight: int = 1) -> None:
        """Have `value` as the one used last. It is never what gives way for itself."""
        held = self._tenants.get(tenant)
        if held is None:
            held = self._tenants[tenant] = _Held()
        before = held.entries.pop(key, None)
        held.entries[key] = value, weight
        self._weigh(tenant, held, weight - (0 if before is None else before[1]))
        while self.weight > self._weight_max and self._give_way(tenant):
            pass

    def values(self) -> Iterator[V]:
        """All of them, tenant by tenant."""
        for held in self._tenants.values():
            for value, _ in held.entries.values():
                yield value

    def _weigh(self, tenant: str, held: _Held[V], more: int) -> None:
        was, held.weight = held.weight.bit_length(), held.weight + more
        self.weight += more
        now = held.weight.bit_length()
        if now != was:
            self._classes[was].pop(tenant, None)
        self._classes[now][tenant] = None

    def _give_way(self, tenant: str) -> bool:
        """Let the tenant with most lose something, but not the last of `tenant`, which was just put. False:
        there is nothing else."""
        for named in reversed(self._classes):
            for loser in itertools.chain((tenant,), named) if tenant in named else named:
                held = self._tenants[loser]
                if loser == tenant and len(held.entries) == 1:
                    continue
                _, (_, weight) = held.entries.popitem(last=False)
                self._weigh(loser, held, -weight)
                if not held.entries:
                    del self._tenants[loser]
                    self._classes[held.weight.bit_length()].pop(loser, None)
                return True
        return False
