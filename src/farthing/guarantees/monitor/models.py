"""Watches which model each target's answers name, and tells of a silent change.

A certificate is measured on answers. When a target begins to answer with another model, under the same name,
what was measured says nothing of it any more. What an answer names as its `model` is its identity; a name
that has not been seen of that target is a change. `system_fingerprint` names a configuration of the
provider's servers, of which several answer in turn, so it counts only where the configuration says so.

No change is: an answer that names nothing; the first name; a name that was seen within the last
`FORGOTTEN_S`, as of servers that are replaced one after the other; the name that was asked for, once a more
exact one is known, and the first more exact one of it (`gpt-4o`, then `gpt-4o-2024-08-06`). A provider that
makes up names is heard `ALARMS_MAX` times a day.

Sans-I/O: time is an argument of the constructor. One event loop; memory is bounded. A known name costs some
200 ns an answer.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Literal

import msgspec
from msgspec import Struct, field

TARGETS_MAX = 2_000
ENDPOINTS_MAX = 200  # of one target
NAMES_MAX = 16  # of one target; the one that was not seen for longest is forgotten
NAME_CHARS_MAX = 128
FORGOTTEN_S = 86_400.0
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

    def story(self, target: str) -> str:
        """In words."""
        return f"{target} answers with another model, {self.now} instead of {self.was}"


class Seen(Struct, kw_only=True):
    """What is known of one target."""

    now: str
    """What the last answer named that named something."""
    names: dict[str, float]
    """Names to the Unix time until which they were the last; of `now` the time at which it became so."""
    endpoints: set[str] = field(default_factory=set)
    """Whose clients it answered."""
    change: ModelChange | None = None
    alarms: list[float] = field(default_factory=list)
    """Unix times of those within `FORGOTTEN_S`."""
    changes: int = 0


class _Kept(Struct, frozen=True, kw_only=True):
    version: int = VERSION
    targets: dict[str, Seen]


class ModelWatch:
    """The models of all targets."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        """`clock` gives Unix seconds."""
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self.identity: Identity = "model"
        self.told: Callable[[str], None] = _nobody
        """Called with a target whose model has changed, after that is known here."""
        self.changed = False
        """Whether anything changed since `dump`."""

    # -- answers ------------------------------------------------------------------------------------

    def answered(self, target: str, asked: str, endpoint: str, model: str, fingerprint: str) -> None:
        """Take what one answer named; empty: nothing. `asked` is the target's model. `endpoint` is whose
        client it answered; empty: nobody's."""
        if self.identity == "fingerprint" and fingerprint:
            model = f"{model} {fingerprint}"
        seen = self._seen.get(target)
        if seen is not None and seen.now == model and (not endpoint or endpoint in seen.endpoints):
            return
        if model:
            self._look(target, asked, endpoint, model, seen)

    def _look(self, target: str, asked: str, endpoint: str, model: str, seen: Seen | None) -> None:
        now_unix_s = self._clock()
        if seen is None:
            if len(self._seen) >= TARGETS_MAX:
                return
            seen = self._seen[target] = Seen(now=model, names={model: now_unix_s})
            self.changed = True
        if endpoint and endpoint not in seen.endpoints and len(seen.endpoints) < ENDPOINTS_MAX:
            seen.endpoints.add(endpoint)
            self.changed = True
        if seen.now == model:
            return
        self.changed = True
        was, seen.now = seen.now, model
        seen.names[was] = now_unix_s
        last_unix_s = seen.names.get(model)
        known = last_unix_s is not None and now_unix_s - last_unix_s <= FORGOTTEN_S
        alone = seen.names.keys() <= {asked}
        seen.names[model] = now_unix_s
        if len(seen.names) > NAMES_MAX:
            del seen.names[min(seen.names, key=seen.names.__getitem__)]
        if not (known or model == asked or (alone and _refines(asked, model))):
            self._alarm(target, seen, ModelChange(at_unix_s=now_unix_s, was=was, now=model))

    def _alarm(self, target: str, seen: Seen, change: ModelChange) -> None:
        since = change.at_unix_s - FORGOTTEN_S
        seen.alarms = [at for at in seen.alarms if at > since]
        if len(seen.alarms) > ALARMS_MAX:
            return
        seen.alarms.append(change.at_unix_s)
        if len(seen.alarms) > ALARMS_MAX:
            log.warning(
                "%s names another model for the %dth time within a day, now %s: its names are not watched "
                "for the rest of it",
                target,
                len(seen.alarms),
                change.now,
            )
            return
        seen.change = change
        seen.changes += 1
        log.warning(
            "%s; what was measured on its answers says nothing of it: calibrate again", change.story(target)
        )
        self.told(target)

    # -- telling ------------------------------------------------------------------------------------

    def changes(self) -> Iterator[tuple[str, ModelChange]]:
        """Each target whose model has ever changed, and the last change."""
        for target, seen in self._seen.items():
            if seen.change is not None:
                yield target, seen.change

    def latest(self, targets: Collection[str]) -> tuple[str, ModelChange] | None:
        """The last change of any of `targets`; None: there was none."""
        return _last((target, change) for target, change in self.changes() if target in targets)

    def latest_at(self, endpoint: str) -> tuple[str, ModelChange] | None:
        """The last change of any target that answered clients of `endpoint`; None: there was none."""
        return _last(
            (target, change) for target, change in self.changes() if endpoint in self._seen[target].endpoints
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
        return msgspec.json.encode(_Kept(targets=self._seen))

    def restore(self, data: bytes) -> None:
        """Restore the state from `dump`.

        Raises:
            ValueError: `data` does not come from `dump`.
        """
        kept = msgspec.json.decode(data, type=_Kept)
        if kept.version != VERSION:
            raise ValueError(f"version {kept.version}; this Farthing reads {VERSION}")
        self._seen = kept.targets


def _nobody(target: str) -> None:
    pass


def _last(changes: Iterable[tuple[str, ModelChange]]) -> tuple[str, ModelChange] | None:
    return max(changes, key=lambda one: one[1].at_unix_s, default=None)


def _refines(asked: str, model: str) -> bool:
    """Whether `model` is a more exact name of what was asked for: a dated one, or one with a namespace or a
    revision behind it."""
    return len(model) > len(asked) and model.startswith(asked) and not model[len(asked)].isalnum()
