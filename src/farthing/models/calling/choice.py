"""Which lane of which target is called next, and which is left for now."""

from collections.abc import Callable, Sequence

from farthing.errors import ProviderRejected
from farthing.models.calling.context import CallContext
from farthing.models.calling.request import CallRequest, tried_in
from farthing.models.calling.suits import Suits
from farthing.models.calling.telling import tell_of_outlier
from farthing.models.health.health import Health
from farthing.models.health.outliers import outlier, reconsidered
from farthing.models.lanes.pick import Lane, Lanes, Place, affinity_of
from farthing.models.retry import Failed
from farthing.protocols import Provider
from farthing.types import Endpoint, Target


class Choice:
    """Chooses among the targets of one configuration."""

    def __init__(self, context: CallContext, suits: Suits) -> None:
        self._suits = suits
        self._limits = context.limits
        self._config = context.config
        self._ways = context.ways
        self._providers = context.providers
        self._regions = context.regions
        self._known = context.ways.known

    def health(self, target: Target) -> Health:
        """The health of a target as a whole, whatever lanes it has."""
        return self._way(target).health

    def _way(self, target: Target) -> Lane | Lanes:
        return self._known.get(target.name) or self._ways.open(target)

    def ready(
        self, call: CallRequest, targets: Sequence[Target], place: int, failed: Sequence[Failed]
    ) -> Lane | None:
        """The lane for the first call of a target; None: it is in a cooldown, has failed already, or is left
        for now."""
        target = targets[place]
        way = self._known.get(target.name) or self._ways.open(target)
        if isinstance(way, Lanes):
            return self._picked(call, targets, place, way, failed)
        if failed and any(one.target.name == target.name for one in failed):
            return None
        health = way.health
        minded = health.suspect or not health.limits.free
        if minded and self._config.adaptive and self._is_left(call, targets, place, way):
            return None
        return way if health.cooldown_s() <= 0 else None

    def left_for(self, call: CallRequest, target: Target, failed: Sequence[Failed]) -> str:
        """Why a target has no lane for its first call, as `Health.left_for` says; empty: it was called, or
        may not be."""
        if any(one.target.name == target.name for one in failed):
            return ""
        way = self._way(target)
        if isinstance(way, Lane):
            return way.health.left_for()
        barred = self.passed_over(call, target, way, failed)
        able = [lane.health for lane in way.all if lane.health not in barred]
        return min(able, key=Health.cooldown_s).left_for() if able else ""

    def _picked(
        self, call: CallRequest, targets: Sequence[Target], place: int, lanes: Lanes, failed: Sequence[Failed]
    ) -> Lane | None:
        """As `ready`, of a target that has several lanes."""
        target, tokens = targets[place], call.prompt.input_tokens
        tried = self.passed_over(call, target, lanes, failed)
        affinity, prefers = affinity_of(call.request, lanes.homes), self._prefers(call, target)
        lane = lanes.pick(affinity, tokens, tried=tried, prefers=prefers)
        if lane is None or not self._config.adaptive:
            return lane
        if (lane.health.suspect or not lane.health.limits.free) and self._is_left(call, targets, place, lane):
            ejected = lane.health.ejection.active  # just now: another may do
            return lanes.pick(affinity, tokens, tried=tried, prefers=prefers) if ejected else None
        return lane

    def next_lane(
        self, call: CallRequest, targets: Sequence[Target], place: int, failed: Sequence[Failed], left: int
    ) -> Lane | None:
        """Another lane of a target that has just failed, which may be called although it has; None: there is
        none, or the call that is `left` is another target's."""
        target = targets[place]
        way = self._way(target)
        if not isinstance(way, Lanes) or left <= self.others(call, targets, place, None):
            return None
        tried = self.passed_over(call, target, way, failed)
        return way.next_after(failed[-1], affinity_of(call.request, way.homes), tried)

    def spared(self, call: CallRequest, target: Target, failed: Sequence[Failed]) -> bool:
        """Whether the last of those that have `failed`, a call of `target`, does not count as one: its key
        was refused, and another key of the address is untried. The number of keys bounds how often."""
        way, last = self._way(target), failed[-1]
        if not isinstance(way, Lanes) or (isinstance(last.error, ProviderRejected) and last.error.renewed):
            return False
        return way.spares(last, self.passed_over(call, target, way, failed))

    def passed_over(
        self, call: CallRequest, target: Target, lanes: Lanes, failed: Sequence[Failed]
    ) -> set[Health]:
        """The health of each lane that has failed, or that the request may not take."""
        return tried_in(failed).union(self._regions.barred(call.request.endpoint, target, lanes.all))

    def within(self, endpoint: Endpoint, target: Target) -> Provider | None:
        """The provider of `target` at its first address that requests of `endpoint` may go to; None: they may
        go to none."""
        own = Place(self._providers[target.provider])
        found = self._regions.within(endpoint, target, self._ways.places.get(target.provider) or (own,))
        return None if found is None else found.provider

    def _prefers(self, call: CallRequest, target: Target) -> Callable[[Lane], bool] | None:
        """Where each key is of another account: the lanes that are told all, as those are not that other
        accounts have encrypted something for."""
        if not self._limits[target.provider].separate_accounts:
            return None
        return lambda lane: self._suits.is_told_all(call, target, lane.provider)

    def _is_left(self, call: CallRequest, targets: Sequence[Target], place: int, lane: Lane) -> bool:
        """Whether a lane that may be called is left all the same, for now: others of the route are much
        better, or it has as much to do as it takes and there is another, or one may wait for it."""
        health = lane.health
        if health.suspect:
            health.suspect = health.ejection.active
            others = [self.health(one) for index, one in enumerate(targets) if index != place]
            if lane.among is not None:
                others += [one.health for one in lane.among.all if one is not lane]
            if others and health.ejection.active:
                reconsidered(health, others)
            elif others and health.cooldown_s() <= 0 and outlier(health, others):
                tell_of_outlier(targets[place].name, health)
                return True
        limits = health.limits
        if limits.free or call.hold.left_calls == 0 or not limits.is_out(call.prompt.input_tokens):
            return False
        return call.otherwise == "failed" or self.others(call, targets, place, None)

    def others(self, call: CallRequest, targets: Sequence[Target], place: int, lane: Lane | None) -> bool:
        """Whether another target, or another address than that of `lane`, could be called instead of this
        one."""
        if lane is not None and lane.among is not None:
            barred = self._regions.barred(call.request.endpoint, targets[place], lane.among.all)
            if lane.among.others(lane, barred):
                return True
        return len(targets) > place + 1 and any(
            self.health(target).cooldown_s() <= 0 and self._suits.can_be_told(call, target)
            for target in targets[place + 1 :]
        )

    def left(self, call: CallRequest, target: Target, failed: Sequence[Failed]) -> Sequence[Lane]:
        """The lanes of a target that may be called where none is left that is well."""
        way = self._way(target)
        if isinstance(way, Lane):
            return (way,)
        return way.left(failed, self._regions.barred(call.request.endpoint, target, way.all))
