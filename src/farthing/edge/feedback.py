"""`POST /v1/feedback`: what a person says of an answer they got. Becomes a signal in the ledger.

    {"request_id": "req_…", "thumb": "up"}        or "down"
    {"request_id": "req_…", "rating": 4}          of 1 to 5, or of 1 to "scale"
    {"request_id": "req_…", "quality": 0.8}       from 0 to 1

Words are not taken: what people write about an answer is as private as the answer, and nothing here would
read it. Whether the request is the tenant's own is not looked up: the tenant of the key is written beside
it, and what reads signals counts those alone whose request is of the same tenant.
"""

import re
from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farthing.edge.http.body import read_object
from farthing.edge.http.fields import convert
from farthing.edge.rate import Rate
from farthing.errors import BodyTooLarge, InvalidRequest
from farthing.types import Json, Signal, Tenant

BODY_BYTES_MAX = 4_096
DEPTH_MAX = 4
NODES_MAX = 50
KNOWN = "; known: request_id, and one of thumb (up, down), rating (1 to scale), quality (0 to 1)"
PER_MINUTE = 600  # of one tenant: a row each, and the ledger has a bound that receipts are to fill
TENANTS_MAX = 10_000
SCALE = 5
_ID = re.compile(r"req_[0-9a-f]{8,64}")
_VALUES = ("thumb", "rating", "quality")


class _Feedback(Struct, forbid_unknown_fields=True):
    request_id: str
    thumb: Literal["up", "down"] | UnsetType = UNSET
    rating: Annotated[float, Meta(ge=1)] | UnsetType = UNSET
    scale: Literal[2, 3, 4, 5, 6, 7, 8, 9, 10, 100] | UnsetType = UNSET
    quality: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET


class Allowances:
    """How much feedback each tenant may still send. Bounded: only the most recent tenants are remembered."""

    def __init__(self, clock: Callable[[], float], *, per_minute: int = PER_MINUTE) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._rates: dict[str, Rate] = {}

    def take(self, tenant: Tenant) -> None:
        """Raises:
        RateLimited: the tenant sends too much.
        """
        rate = self._rates.get(tenant.name)
        if rate is None:
            if len(self._rates) >= TENANTS_MAX:
                self._rates.pop(next(iter(self._rates)))
            rate = self._rates[tenant.name] = Rate(self._per_minute, self._clock)
        rate.take()


def read(body: bytes, *, tenant: Tenant, now_unix_s: float) -> Signal:
    """What the body of a request says.

    Raises:
        InvalidRequest: says what is wrong with it and how to put it right. BodyTooLarge.
    """
    if len(body) > BODY_BYTES_MAX:
        raise BodyTooLarge(f"feedback has at most {BODY_BYTES_MAX} bytes: an id and one value")
    said = _converted(read_object(body, depth_max=DEPTH_MAX, nodes_max=NODES_MAX))
    if not _ID.fullmatch(said.request_id):
        raise InvalidRequest(
            "`request_id` is not one of this gateway: send the value of the answer's header `x-request-id` "
            "(`req_…`); the `id` in the answer is the provider's",
            param="request_id",
        )
    given = [name for name in _VALUES if getattr(said, name) is not UNSET]
    if len(given) != 1:
        what = "none of them is there" if not given else f"{' and '.join(given)} are"
        raise InvalidRequest(
            f"send exactly one of `thumb`, `rating` and `quality`: {what}", param=given[-1] if given else None
        )
    if said.scale is not UNSET and said.rating is UNSET:
        raise InvalidRequest("`scale` says what `rating` is out of: send both, or neither", param="scale")
    return Signal(
        request_id=said.request_id,
        at_unix_s=now_unix_s,
        source="feedback",
        quality=_quality(said),
        kind=given[0],
        tenant=tenant.name,
    )


def accepted(signal: Signal) -> Json:
    """The body of the client's answer."""
    return {
        "object": "feedback",
        "request_id": signal.request_id,
        "kind": signal.kind,
        "quality": signal.quality,
        "status": "accepted",
    }


def _converted(raw: Json) -> _Feedback:
    for name in ("comment", "text", "reason", "message"):
        if name in raw:
            raise InvalidRequest(f"`{name}` is not taken: words about an answer are not kept", param=name)
    return convert(raw, _Feedback, hint=KNOWN)  # type: ignore[no-any-return]


def _quality(said: _Feedback) -> float:
    """From 0 to 1.

    Raises:
        InvalidRequest: a rating over its scale.
    """
    if said.thumb is not UNSET:
        return 1.0 if said.thumb == "up" else 0.0
    if said.rating is UNSET:
        assert said.quality is not UNSET, "one of the three is there"
        return said.quality
    scale = SCALE if said.scale is UNSET else said.scale
    if said.rating > scale:
        raise InvalidRequest(
            f"`rating` is {said.rating:g} of {scale}: send one from 1 to {scale}, or another `scale`",
            param="rating",
        )
    return (said.rating - 1) / (scale - 1)
