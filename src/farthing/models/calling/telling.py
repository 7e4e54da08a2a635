"""What operators are told of calls, in the log, and not too often."""

import logging
from collections.abc import Callable, Mapping, Sequence

from farthing.errors import (
    ContractExceeded,
    KeyRejected,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
)
from farthing.models.health.health import Health
from farthing.models.health.outliers import PROBE_S
from farthing.models.lanes.pick import Lane
from farthing.models.retry import Failed
from farthing.runtime.seldom import Seldom, Tally
from farthing.types import Route, Target

log = logging.getLogger("farthing.call")

KEY_TOLD_EVERY_S = 600.0  # between two warnings that a provider refuses our key
FALLBACK_TOLD_EVERY_S = 10.0


class Telling:
    """Tells of the calls of one configuration."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._keys = Seldom(KEY_TOLD_EVERY_S, clock)
        """When we last warned that a provider refuses our key."""
        self._fallbacks = Tally(FALLBACK_TOLD_EVERY_S, clock)

    def of_key(self, target: Target, error: ProviderError, lane: Lane) -> None:
        """Log that a provider rejected its key. Otherwise nobody might notice, since another target answers
        or the client sees only part of the reason."""
        if not isinstance(error, KeyRejected) or error.renewed:
            return
        label = lane.label
        if self._keys.again(f"{target.provider} {label}" if label else target.provider):
            said = f"; its code is {error.told}" if error.told else ""
            rests = "; the others are used meanwhile" if label else ""
            log.warning(
                "%s (%s)%s%s", error, f"{target.name}, {label}" if label else target.name, said, rests
            )

    def of_fallback(
        self,
        first: Target,
        answered: Target,
        failed: Sequence[Failed],
        refused: Mapping[str, ContractExceeded],
    ) -> None:
        """Log that a target other than the first of the route has answered."""
        error = next((one.error for one in failed if one.target.name == first.name), None)
        if error is not None:
            why = in_brief(error)
        elif first.name in refused:
            why = "its worst case costs more than the endpoint's usd_max leaves"
        else:
            why = "it rests after failures, or for the pause that it asked for"
        unsaid = self._fallbacks.unsaid(f"{first.name} {answered.name} {why}")
        if unsaid is not None:
            log.warning("%s answered instead of %s: %s%s", answered.name, first.name, why, _more(unsaid))

    def of_end(
        self, route: Route, failed: Sequence[Failed], errors: Sequence[ProviderError], *, goes_on: bool
    ) -> None:
        """Log that no target of the route has answered, unless the request itself was the cause. `goes_on`:
        it does not end by that, as another route is asked, or there is an answer to give."""
        if all(
            isinstance(error, ProviderRejected) and not isinstance(error, KeyRejected) for error in errors
        ):
            return
        if failed:
            why = "; ".join(dict.fromkeys(f"{one.target.name}: {in_brief(one.error)}" for one in failed))
        else:
            names = ", ".join(dict.fromkeys(target.name for target in route.targets))
            why = f"{names}: at rest after failures, or for a pause that was asked for"
        unsaid = self._fallbacks.unsaid(f"end {goes_on} {why}")
        if unsaid is None:
            return
        if goes_on:
            log.warning("no target of a route answered, its request goes on: %s%s", why, _more(unsaid))
        else:
            log.error("no target is left, a request failed: %s%s", why, _more(unsaid))

    def of_fault(self, target: Target, error: Exception) -> ProviderError:
        """Log that the code of a provider failed; the error that it comes to."""
        kind = type(error).__name__
        if self._fallbacks.unsaid(f"code {target.name} {kind}") is not None:
            log.error("%s: the code of its provider failed", target.name, exc_info=error)
        return ProviderUnavailable(f"the code of the provider failed: {kind}")


def in_brief(error: ProviderError) -> str:
    """The message without the provider's words, which may contain parts of the prompt or of the key."""
    status = "" if error.upstream_status is None or error.unasked else f" (status {error.upstream_status})"
    return f"{error.code}{status}"


def _more(unsaid: int) -> str:
    return f"; and {unsaid} more since this was last said" if unsaid else ""


def tell_of_breaker(name: str, error: ProviderError | None, seconds: float) -> None:
    if error is None:
        log.warning("%s answers again, after %.1f s", name, seconds)
    else:
        log.warning(
            "%s is left out for %g s, then tried by one request at a time: too many of its calls failed, the "
            "last by %s",
            name,
            seconds,
            in_brief(error),
        )


def tell_of_outlier(name: str, health: Health) -> None:
    why = (
        "its streams begin much later than they did" if health.ejection.for_time else "more of its calls fail"
    )
    log.warning(
        "%s is left out for now, as %s than others of its route; one request in %g s tries it",
        name,
        why,
        PROBE_S,
    )
