"""Settings that had another name in the last release: still read, for one release, with a warning.

A renamed key needs only a line in `KEYS`: the file, line numbers in errors, and `FARTHING__…` variables
follow from it. Both names at once are an error, since it is unclear which is meant; a variable, under either
name, wins over the file, as always.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from farthing.config.strict import dotted, quoted
from farthing.config.toml import Path

KEYS = {
    "errands": "jobs",
    "cache.again_s": "cache.reask_s",
    "endpoints.*.quality.retry_s": "endpoints.*.quality.reask_s",
    "endpoints.*.cache.semantic.false_hits_max": "endpoints.*.cache.semantic.risk_max",
    "endpoints.*.route_loss_max": "endpoints.*.route_risk_max",
}
"""Old path to new path. `*` matches any one name, the same in both."""

ROUTE_KEYS = {
    "rules": frozenset[str](),
    "learned": frozenset({"model", "threshold", "explore_share", "prefer", "llm"}),
    "llm": frozenset({"explore_share", "prefer", "llm"}),
}
"""Kind of `[route]` to the keys that not every kind accepts. Up to the last release every kind accepted
all."""

_SPLIT = [(old.split("."), new.split(".")) for old, new in KEYS.items()]


class Renamed(NamedTuple):
    """One key that was written under its old name."""

    old: Path
    new: Path

    def told(self) -> str:
        """The warning, which begins with the key as written."""
        return f"{dotted(self.old)}: is called {dotted(self.new)} now; the next release reads only that name"

    def fault(self) -> str:
        return f"is called {dotted(self.new)} now, and both are set; remove the old name"


def current(parts: list[str]) -> list[str]:
    """The path `parts`, with an old name in it replaced."""
    for old, new in _SPLIT:
        if len(parts) >= len(old) and all(map(_fits, old, parts)):
            return [*_filled(new, old, parts), *parts[len(old) :]]
    return parts


def holds_old(parts: list[str]) -> bool:
    """Whether the table at `parts` may have renamed keys."""
    return any(len(parts) < len(old) and all(map(_fits, old, parts)) for old, _ in _SPLIT)


def rename(table: dict[str, Any]) -> tuple[list[Renamed], list[Renamed]]:
    """Rename the keys of `table` in place; returns those renamed, and those not renamed because the new name
    is already used."""
    done, twice = [], []
    for old, new in _SPLIT:
        for path in list(_found(table, old)):
            one = Renamed(tuple(path), tuple(_filled(new, old, path)))
            value = _parent(table, one.old).pop(one.old[-1])
            into = _parent(table, one.new)
            if one.new[-1] in into:
                twice.append(one)
            else:
                into[one.new[-1]] = value
                done.append(one)
    return done, twice


def within(path: Path, value: dict[str, Any]) -> tuple[dict[str, Any], list[Renamed], list[Renamed]]:
    """`value`, the table at `path` alone, with the new names; and the results of `rename` for it."""
    table: dict[str, Any] = value
    for part in reversed(path):
        table = {str(part): table}
    done, twice = rename(table)
    for part in path:
        table = table[str(part)]
    return table, done, twice


class Unused(NamedTuple):
    """A key of `[route]` that its kind does not accept. It had no effect in the last release either."""

    key: Path
    kind: str

    def told(self) -> str:
        """The warning, which begins with the key."""
        kind = f"with kind = {quoted(self.kind)}"
        return f"{dotted(self.key)}: is not used {kind}, and the next release refuses it; remove it"


def drop_unused(table: dict[str, Any]) -> list[Unused]:
    """Remove keys of other kinds from `[route]`, in place; returns them."""
    route = table.get("route")
    if not isinstance(route, dict):
        return []
    kind = str(route.get("kind", "rules")).strip("\"' ")
    taken = ROUTE_KEYS.get(kind)
    if taken is None:
        return []  # an unknown kind, which is reported elsewhere
    others = frozenset().union(*ROUTE_KEYS.values()) - taken
    unused = [key for key in route if key in others]
    for key in unused:
        del route[key]
    return [Unused(("route", key), kind) for key in unused]


def _fits(pattern: str, part: str) -> bool:
    return pattern in ("*", part)


def _filled(new: list[str], old: list[str], path: list[str]) -> list[str]:
    names = iter([part for pattern, part in zip(old, path, strict=False) if pattern == "*"])
    return [next(names) if part == "*" else part for part in new]


def _found(table: Mapping[str, Any], pattern: list[str]) -> Iterator[list[str]]:
    """The paths in `table` that match `pattern`."""
    head, *rest = pattern
    for key in [key for key in table if _fits(head, key)]:
        if not rest:
            yield [key]
        elif isinstance(table[key], dict):
            yield from ([key, *below] for below in _found(table[key], rest))


def _parent(table: dict[str, Any], path: Path) -> dict[Any, Any]:
    for part in path[:-1]:
        table = table.setdefault(part, {})  # type: ignore[arg-type]
    return table
