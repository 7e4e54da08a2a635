"""Calls to parts that answer at once, each under `optional_now`: if the part fails, the request goes on with
a safe default, and `skipped` in the receipt has the name used here."""

from farthing.pipeline.optional import optional_now
from farthing.pipeline.steps import Steps
from farthing.protocols import Inspector
from farthing.types import CacheHit, Receipt, Request, Route, Traits


def cache_key(request: Request, steps: Steps, receipt: Receipt) -> bytes | None:
    """As `ResponseCache.key`. If it fails: None, so the cache is not used."""
    return optional_now("cache_key", None, bytes, steps, receipt, steps.cache.key, request)


def pins(request: Request, steps: Steps, receipt: Receipt) -> bool:
    """As `Router.pins`. If it fails: True, as if the client had named a model. The request is then answered
    afresh, and no saving is claimed."""
    return optional_now("pins", True, bool, steps, receipt, steps.router.pins, request)


def answers_itself(request: Request, traits: Traits, steps: Steps, receipt: Receipt) -> bool:
    """As `Router.answers`. If it fails: True, so no answer to a similar question is served."""
    return optional_now("answers", True, bool, steps, receipt, steps.router.answers, request, traits)


def fall_back(request: Request, steps: Steps, receipt: Receipt) -> Route:
    """As `Router.fallback`. If it fails: the fallback of the rules.

    Raises:
        UnknownModel: the configuration has nothing by the name that the client asked for.
    """
    route = optional_now("fallback", None, Route, steps, receipt, steps.router.fallback, request)
    return steps.rules.fallback(request) if route is None else route


def tell_asked(inspector: Inspector, request: Request, steps: Steps, receipt: Receipt) -> None:
    """As `Inspector.asked`."""
    optional_now("asked", None, object, steps, receipt, inspector.asked, request, receipt)


def wants(inspector: Inspector, request: Request, route: Route, steps: Steps, receipt: Receipt) -> bool:
    """As `Inspector.wants`. If it fails: False, so the answer is not inspected."""
    return optional_now("wants", False, bool, steps, receipt, inspector.wants, request, route)


def inspect(
    inspector: Inspector, request: Request, route: Route, answer: CacheHit, steps: Steps, receipt: Receipt
) -> None:
    """As `Inspector.inspect`."""
    given = (request, route, answer, receipt)
    optional_now("inspect", None, object, steps, receipt, inspector.inspect, *given)
