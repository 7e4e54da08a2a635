"""Watches which model each target's answers name, and tells of a silent change.

A certificate is measured on answers. When a target begins to answer with another model, under the same name,
what was measured says nothing of it any more. What an answer names as its `model` is its identity; a name
that has not been seen of that target is a change. `system_fingerprint` names a configuration of the
provider's servers, of which several answer in turn, so it counts only where the configuration says so. For
the first `LEARNS_S` they are only learnt, and then known for a week.

Only the targets that are configured are watched: what clients may make up says nothing of what was measured.
Each address of a target is watched for itself, since two of them may have different models all along. No
change is:

- an answer that names nothing, or what was asked for, or less than the last one did;
- the first name, that of another address, or the first more exact one (`gpt-4o`, then `gpt-4o-2024-08-06`);
- a name that was seen within the last `FORGOTTEN_S`, as of servers that are replaced one after the other. One
  that came back on several days is known for as many, a week at most, as two that answer in turn all along;
- any name of a model that chooses among others (`routes`).

A target that names ever new ones is heard `ALARMS_MAX` times, then not until a day has passed without one.

Sans-I/O: time is an argument of the constructor. One event loop; memory is bounded. A known name costs some
200 ns an answer.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Literal

import msgspec
from msgspec import Struct, field

from farthing.guarantees.monitor.model_names import is_exact, refines, routes, same

TARGETS_MAX = 2_000
"""The one that was not in use for longest is forgotten; one that is configured last."""
ADDRESSES_MAX = 64  # of one target
ENDPOINTS_MAX = 200  # of one target
NAMES_MAX = 16  # of one target; the one that was not seen for longest is forgotten
FINGERPRINTS_MAX = 64  # likewise
NAME_CHARS_MAX = 128
DAY_S = 86_400.0
FORGOTTEN_S = DAY_S
DAYS_MAX = 7
LEARNS_S = DAY_S
ALARMS_MAX = 4  # of one target within `FORGOTTEN_S`
VERSION = 1
FILE = "models.json"
"""In the state directory."""

Identity = Literal["model", "fingerprint"]

log = logging.getLogger("farthing.models")


class ModelChange(Struct, frozen=True, kw_only=True):
    """The last time that another model answered for a target."""

    at_unix_s: float
    was: str
    now: str
    since_unix_s: float = 0.0
    """Since when the model was the one of `was`; 0.0: unknown."""
    address: str = ""
    """Which of the target's; empty: it has one."""

    def story(self, target: str) -> str:
        """In words."""
        return f"{target} answers with another model, {self.now} instead of {self.was}"

    def alarm(self, target: str, suspended: Sequence[str]) -> str:
        """In words, with what follows from it."""
        until = f", which it named since {moment(self.since_unix_s)}" if self.since_unix_s else ""
        where = f", at its address {self.address}" if self.address else ""
        found = f"since {moment(self.at_unix_s)} {self.story(target)}{until}{where}; "
        if not suspended:
            return f"{found}no certificate rests on it"
        return (
            f"{found}what was measured on its answers says nothing of it. Suspended until it is measured "
            f"again: {'; '.join(suspended)}. To have the old model back, name a dated one as the target, if "
            "its provider still has it"
        )


class Name(Struct):
    """A name that a target has gone by."""

    until_unix_s: float
    """When it was last known to be the one that answers."""
    came_back: float = 0.0
    """The day of Unix time on which it last did."""
    days: int = 0
    """On how many it did."""

    def returned(self, now_unix_s: float, days_min: int = 1) -> bool:
        """Note that it answers again; whether it was known still, which it is for `days_min` at least."""
        days = max(days_min, min(self.days, DAYS_MAX))
        known = now_unix_s - self.until_unix_s <= FORGOTTEN_S * days
        self.until_unix_s = now_unix_s
        day = now_unix_s // DAY_S
        if day != self.came_back:
            self.came_back = day
            self.days += 1
        return known


class Last(Struct):
    """What the last answer of one address named that named something."""

    model: str
    since_unix_s: float
    fingerprint: str = ""


class Seen(Struct, kw_only=True):
    """What is known of one target."""

    last: dict[str, Last] = field(default_factory=dict)
    """By address."""
    names: dict[str, Name] = field(default_factory=dict)
    fingerprints: dict[str, Name] = field(default_factory=dict)
    fingerprints_unix_s: float = 0.0
    """Since when they are learnt."""
    endpoints: set[str] = field(default_factory=set)
    """Whose clients it answered."""
    change: ModelChange | None = None
    alarms: list[float] = field(default_factory=list)
    """Unix times of those within `FORGOTTEN_S`."""
    changes: int = 0
    used_unix_s: float = 0.0
    """When it was configured last, or something was learnt of it."""


class _Kept(Struct, frozen=True, kw_only=True):
    version: int = VERSION
    identity: Identity = "model"
    targets: dict[str, Seen]


class ModelWatch:
    """The models of all targets."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds. Watches every target before `serve` says which."""
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._identity: Identity = "model"
        self._fingerprints = False
        self._configured: frozenset[str] | None = None
        self.told: Callable[[str], Sequence[str]] = _nobody
        """Called with a target whose model has changed, after that is known here; says what is suspended for
        it, and how each is measured again."""
        self.changed = False
        """Whether anything changed since `dump`."""

    def serve(self, identity: Identity, targets: Collection[str]) -> None:
        """Watch `targets`, by `identity`, from now on. Where fingerprints did not count, they are learnt
        anew."""
        now_unix_s = self._clock()
        for name in {*(self._configured or ()), *targets} & self._seen.keys():
            self._seen[name].used_unix_s = now_unix_s
            self.changed = True
        self._configured = frozenset(targets)
        self._fingerprints = identity == "fingerprint"
        if identity == self._identity:
            return
        self._identity, self.changed = identity, True
        for seen in self._seen.values():
            seen.fingerprints.clear()
            for last in seen.last.values():
                last.fingerprint = ""

    # -- answers ------------------------------------------------------------------------------------

    def answered(
        self, target: str, asked: str, endpoint: str, model: str, fingerprint: str, lane: str = ""
    ) -> None:
        """Take what one answer named; empty: nothing. `asked` is the target's model. `endpoint` is whose
        client it answered; empty: nobody's. `lane` is its label, where the target has several."""
        seen = self._seen.get(target)
        if seen is not None:
            last = seen.last.get(address_of(lane) if lane else "")
            if (
                last is not None
                and last.model == model
                and (not self._fingerprints or last.fingerprint == fingerprint)
                and (not endpoint or endpoint in seen.endpoints)
            ):
                return
        if model and (self._configured is None or target in self._configured):
            self._look(target, asked, endpoint, model, fingerprint, lane)

    def _look(self, target: str, asked: str, endpoint: str, model: str, fingerprint: str, lane: str) -> None:
        now_unix_s = self._clock()
        seen = self._seen.get(target) or self._begun(target)
        if seen is None:
            return
        seen.used_unix_s = now_unix_s
        if endpoint and endpoint not in seen.endpoints and len(seen.endpoints) < ENDPOINTS_MAX:
            seen.endpoints.add(endpoint)
            self.changed = True
        address = address_of(lane)
        last = seen.last.get(address)
        if last is None:
            if len(seen.last) < ADDRESSES_MAX:
                last = seen.last[address] = Last(model, now_unix_s)
                _note(seen.names, model, now_unix_s, NAMES_MAX)
                self._recognised(seen, last, fingerprint, now_unix_s)
                self.changed = True
            return
        before = Last(last.model, last.since_unix_s, last.fingerprint)
        known = self._known(seen, last, asked, model, now_unix_s)
        if not known:
            seen.fingerprints_unix_s = now_unix_s  # another model has other ones
        same_servers = self._recognised(seen, last, fingerprint, now_unix_s)
        if (known and same_servers) or routes(asked):
            return
        change = ModelChange(
            at_unix_s=now_unix_s,
            was=f"{before.model} {before.fingerprint}" if known else before.model,
            now=f"{last.model} {fingerprint}" if known else model,
            since_unix_s=before.since_unix_s,
            address=address,
        )
        self._alarm(target, seen, change)

    def _begun(self, target: str) -> Seen | None:
        """What is known of a target of which nothing was; None: there is no room."""
        if len(self._seen) >= TARGETS_MAX:
            unused = self._seen.keys() - (self._configured or ())
            if not unused:
                return None
            del self._seen[min(unused, key=lambda name: self._seen[name].used_unix_s)]
        seen = self._seen[target] = Seen()
        self.changed = True
        return seen

    def _known(self, seen: Seen, last: Last, asked: str, model: str, now_unix_s: float) -> bool:
        """Take the `model` that an answer names; whether it is no change."""
        was = last.model
        if model == was or refines(model, was) or (same(model, asked) and not is_exact(asked)):
            return True  # nothing, or less than is known
        self.changed = True
        last.model, last.since_unix_s = model, now_unix_s
        first = all(same(name, model) or refines(name, model) for name in seen.names)
        _note(seen.names, was, now_unix_s, NAMES_MAX)
        elsewhere = any(one.model == model for one in seen.last.values() if one is not last)
        spelled = any([name.returned(now_unix_s) for text, name in seen.names.items() if same(text, model)])
        _note(seen.names, model, now_unix_s, NAMES_MAX)
        return first or elsewhere or spelled

    def _recognised(self, seen: Seen, last: Last, fingerprint: str, now_unix_s: float) -> bool:
        """Take the `fingerprint` of an answer; whether it is no change."""
        was = last.fingerprint
        if not self._fingerprints or not fingerprint or fingerprint == was:
            return True
        self.changed = True
        last.fingerprint = fingerprint
        if not seen.fingerprints:
            seen.fingerprints_unix_s = now_unix_s
        if was:
            _note(seen.fingerprints, was, now_unix_s, FINGERPRINTS_MAX)
        before = seen.fingerprints.get(fingerprint)
        known = before is not None and before.returned(now_unix_s, DAYS_MAX)
        _note(seen.fingerprints, fingerprint, now_unix_s, FINGERPRINTS_MAX)
        return known or not was or now_unix_s - seen.fingerprints_unix_s <= LEARNS_S

    def _alarm(self, target: str, seen: Seen, change: ModelChange) -> None:
        at_unix_s = change.at_unix_s
        varies = len(seen.alarms) > ALARMS_MAX
        if varies and at_unix_s - seen.alarms[-1] <= FORGOTTEN_S:
            seen.alarms[-1] = at_unix_s
            return
        seen.alarms = [at for at in seen.alarms if at > at_unix_s - FORGOTTEN_S]
        seen.alarms.append(at_unix_s)
        if len(seen.alarms) > ALARMS_MAX:
            log.warning(
                "%s names another model for the %dth time within a day, now %s: its names are not "
                "watched until a day has passed without a new one; if it chooses among models, make one of "
                "them the target",
                target,
                len(seen.alarms),
                change.now,
            )
            return
        seen.change = change
        seen.changes += 1
        log.warning("%s", change.alarm(target, self.told(target)))

    # -- telling ------------------------------------------------------------------------------------

    def changes(self) -> Iterator[tuple[str, ModelChange]]:
        """Each target whose model has ever changed, and the last change."""
        for target, seen in self._seen.items():
            if seen.change is not None:
                yield target, seen.change

    def latest(self, targets: Collection[str]) -> tuple[str, ModelChange] | None:
        """The last change of any of `targets`; None: there was none."""
        return _last((target, change) for target, change in self.changes() if target in targets)

    def latest_at(
        self, endpoint: str, targets: Collection[str] | None = None
    ) -> tuple[str, ModelChange] | None:
        """The last change of any of `targets` (None: of all) that answered clients of `endpoint`; None: there
        was none."""
        return _last(
            (target, change)
            for target, change in self.changes()
            if endpoint in self._seen[target].endpoints and (targets is None or target in targets)
        )

    def families(
        self, shown: Collection[str] | None
    ) -> Iterator[tuple[str, str, str, Iterable[tuple[dict[str, str], float]]]]:
        """Name, type, help text and labelled values, for the metrics, of the targets in `shown`; None: of
        all."""
        named = [one for one in self._seen.items() if shown is None or one[0] in shown]
        yield (
            "farthing_model_changes_total",
            "counter",
            "How often a target began to answer with another model under the same name.",
            [({"target": target}, float(seen.changes)) for target, seen in named],
        )
        yield (
            "farthing_model_changed_timestamp_seconds",
            "gauge",
            "When the model behind a target last changed.",
            [
                ({"target": target}, seen.change.at_unix_s)
                for target, seen in named
                if seen.change is not None
            ],
        )

    # -- keeping ------------------------------------------------------------------------------------

    def dump(self) -> bytes:
        """The whole state as JSON."""
        self.changed = False
        return msgspec.json.encode(_Kept(identity=self._identity, targets=self._seen))

    def restore(self, data: bytes) -> None:
        """Restore the state from `dump`.

        Raises:
            ValueError: `data` does not come from `dump`.
        """
        kept = msgspec.json.decode(data, type=_Kept)
        if kept.version != VERSION:
            raise ValueError(f"version {kept.version}; this Farthing reads {VERSION}")
        self._seen, self._identity = kept.targets, kept.identity


def address_of(lane: str) -> str:
    """Which address of a provider the lane labelled so is at, whatever its key; empty: it has one."""
    return "" if lane.startswith("key ") else lane.partition(", key ")[0]


def moment(at_unix_s: float) -> str:
    """In words."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_unix_s))


def _nobody(target: str) -> Sequence[str]:
    return ()


def _note(names: dict[str, Name], name: str, now_unix_s: float, most: int) -> None:
    """Note that `name` answers now, or did until now."""
    if name in names:
        names[name].until_unix_s = now_unix_s
        return
    names[name] = Name(now_unix_s)
    if len(names) > most:
        del names[min(names, key=lambda one: names[one].until_unix_s)]


def _last(changes: Iterable[tuple[str, ModelChange]]) -> tuple[str, ModelChange] | None:
    return max(changes, key=lambda one: one[1].at_unix_s, default=None)
