"""What the journey asks of a seam without waiting for it, each under `optional_now`: where it fails, the
request goes on with what does no harm. The name is the one the receipt gives it in `skipped`."""

from farthing.pipeline.optional import optional_now
from farthing.pipeline.steps import Steps
from farthing.protocols import Inspector
from farthing.types import CacheHit, Receipt, Request, Route, Traits


def cache_key(request: Request, steps: Steps, receipt: Receipt) -> bytes | None:
    """As `ResponseCache.key`; None, so that nothing is taken from the cache, where it fails."""
    return optional_now("cache_key", None, bytes, steps, receipt, steps.cache.key, request)


def pins(request: Request, steps: Steps, receipt: Receipt) -> bool:
    """As `Router.pins`; where it fails the client is taken to have named a model: it is answered anew, and no
    saving is claimed."""
    return optional_now("pins", True, bool, steps, receipt, steps.router.pins, request)


def answers_itself(request: Request, traits: Traits, steps: Steps, receipt: Receipt) -> bool:
    """As `Router.answers`; where it fails no similar question's answer is given."""
    return optional_now("answers", True, bool, steps, receipt, steps.router.answers, request, traits)


def fall_back(request: Request, steps: Steps, receipt: Receipt) -> Route:
    """As `Router.fallback`; where it fails, that of the rules alone.

    Raises:
        UnknownModel: nothing answers to the name the client asked for.
    """
    route = optional_now("fallback", None, Route, steps, receipt, steps.router.fallback, request)
    return steps.rules.fallback(request) if route is None else route


def tell_asked(inspector: Inspector, request: Request, steps: Steps, receipt: Receipt) -> None:
    """As `Inspector.asked`."""
    optional_now("asked", None, object, steps, receipt, inspector.asked, request, receipt)


def wants(inspector: Inspector, request: Request, route: Route, steps: Steps, receipt: Receipt) -> bool:
    """As `Inspector.wants`; where it fails the answer is not looked at."""
    return optional_now("wants", False, bool, steps, receipt, inspector.wants, request, route)


def inspect(
    inspector: Inspector, request: Request, route: Route, answer: CacheHit, steps: Steps, receipt: Receipt
) -> None:
    """As `Inspector.inspect`."""
    given = (request, route, answer, receipt)
    optional_now("inspect", None, object, steps, receipt, inspector.inspect, *given)
