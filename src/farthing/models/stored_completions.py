"""Asks a provider about the chat completions that it keeps. It costs nothing, and nothing is chosen: the one
that keeps a completion is asked, and its words go on as they came."""

import logging
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

from farthing.config import ProviderConfig
from farthing.errors import (
    FarthingError,
    KeyRejected,
    NoProviderLeft,
    OutsideResidency,
    ProviderError,
    ProviderUnavailable,
    forget_frames,
)
from farthing.models.calling.error_body import error_body
from farthing.models.calling.telling import KEY_TOLD_EVERY_S
from farthing.models.lanes.pick import Place
from farthing.models.residency import Regions
from farthing.protocols import Ledger, Provider, Transport
from farthing.runtime.seldom import Seldom
from farthing.types import Attempt, Endpoint, Receipt, Target

log = logging.getLogger("farthing.call")

ANSWER_S = 60.0  # it looks something up and generates nothing
ANSWER_BYTES_MAX = 33_554_432
MARK_BYTES = 8
JSON = "application/json"
NULL = b"null"

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


class Keepers:
    """The providers of one configuration that keep chat completions, and where each does: at each of its
    addresses apart, and there in each account apart, if it has separate ones. Keys may be of several projects
    all the same, so the one that made a completion asks for it as long as it is there."""

    def __init__(
        self, places: Mapping[str, Sequence[Place]], limits: Mapping[str, ProviderConfig], key: bytes
    ) -> None:
        """`places` are those of each provider, its own address and first key at first. `key` is that of the
        installation: a mark tells neither an address nor a key."""
        self._digest = blake2b(digest_size=MARK_BYTES, key=key)
        self._separate = {name for name in places if limits[name].separate_accounts}
        self._places = {
            name: {self._mark(one): one for one in several if one.provider.capabilities.stored_completions}
            for name, several in places.items()
        }
        self._single = {name for name, several in places.items() if len(several) == 1}

    def keeps(self, provider: str, mark: str) -> bool:
        """Whether the place that is noted as `mark` is there, and has completions."""
        return bool(self._found(provider, mark))

    def mark(self, provider: str, lane: str) -> str | None:
        """What is noted of where `provider` keeps an answer that came by the lane labelled so; empty: it has
        one place. None: it keeps none there."""
        for mark, place in self._places.get(provider, {}).items():
            if place.label == lane:
                return "" if provider in self._single else mark
        return None

    def place(self, provider: str, mark: str, now_s: float) -> Place:
        """Where to ask for what is noted with `mark`; by another key of the address where its own rests.
        Empty: the provider's own address and first key, as before it had others.

        Raises:
            IndexError: not `keeps`.
        """
        found = self._found(provider, mark)
        return next((one for one in found if one.rests_until_s <= now_s), found[0])

    def _found(self, provider: str, mark: str) -> list[Place]:
        """The places to ask, the best first."""
        places = self._places.get(provider, {})
        if not mark:
            return list(places.values())[:1]
        exact = [places[mark]] if mark in places else []
        if provider in self._separate:
            return exact
        return exact + [
            one for other, one in places.items() if _at_one_address(other, mark) and other != mark
        ]

    def _mark(self, place: Place) -> str:
        """Digests of its address, and of that and its key."""
        address, whole = self._digest.copy(), self._digest.copy()
        address.update(place.address.encode())
        whole.update(place.identity.encode())
        return address.hexdigest() + whole.hexdigest()


def _at_one_address(mark: str, other: str) -> bool:
    return mark[: 2 * MARK_BYTES] == other[: 2 * MARK_BYTES]


class Asked(Struct, frozen=True, kw_only=True):
    """One call about a stored completion."""

    mark: str
    """Where its provider keeps it, as `Keepers` has it."""
    target: Target
    """What made it."""
    endpoints: tuple[Endpoint, ...]
    """Those that say where a request about it may go: it goes only where all of them allow."""
    method: str
    below: str
    """What follows the path of chat completions, its query included."""
    body: bytes = b""


class Told(Struct, frozen=True):
    """What the provider said."""

    body: bytes
    returned: bytes
    """Header lines of its reply that the client may see."""


class StoredCompletionsCaller:
    """Calls the providers of one configuration that keep chat completions."""

    def __init__(
        self,
        *,
        keepers: Keepers,
        limits: Mapping[str, ProviderConfig],
        transport: Transport,
        ledger: Ledger,
        clock: Callable[[], float],
    ) -> None:
        self._keepers = keepers
        self._limits = limits
        self._regions = Regions(limits)
        self._transport = transport
        self._ledger = ledger
        self._clock = clock
        self._tells = Seldom(KEY_TOLD_EVERY_S, clock)

    def may_ask(self, asked: Asked) -> bool:
        """Whether a request may go where the completion is kept."""
        try:
            self._place(asked)
        except OutsideResidency as error:
            forget_frames(error)
            return False
        return True

    def _place(self, asked: Asked) -> Place:
        """Where to ask.

        Raises:
            OutsideResidency: a request may not go there.
        """
        place = self._keepers.place(asked.target.provider, asked.mark, self._clock())
        for endpoint in asked.endpoints:
            self._regions.check(endpoint, asked.target, place)
        return place

    async def ask(self, asked: Asked, receipt: Receipt) -> Told:
        """Ask, and once more where the connection turns out to be stale or the credentials are replaced: to
        look, to change labels and to delete may all be done twice. Each call is an attempt of `receipt`.

        Raises:
            NoProviderLeft: it did not answer, or refused; or a request may not go there, and none was made.
            Overloaded: as of `Ledger.intend`.
        """
        again, name = False, asked.target.name
        while True:
            try:
                place = self._place(asked)
            except OutsideResidency as error:
                receipt.skipped[name] = error.code
                raise NoProviderLeft([error]) from None
            if not receipt.attempts:
                self._ledger.intend(receipt, name)
            began_s = self._clock()
            attempt = Attempt(target=name, tier="", started_ms=(began_s - receipt.started_s) * 1000)
            attempt.cost_nusd = 0
            attempt.lane = place.label
            receipt.attempts.append(attempt)
            receipt.calls += 1
            try:
                return await self._ask(asked, place.provider, receipt, attempt)
            except ProviderError as error:
                self._note(error, asked, place, attempt)
                if again or not _at_once(error):
                    raise NoProviderLeft([error], tried_again=again) from None
                again = True
            except BaseException as error:
                attempt.error = "cancelled" if not isinstance(error, Exception) else type(error).__name__
                raise
            finally:
                attempt.total_ms = (self._clock() - began_s) * 1000

    async def _ask(self, asked: Asked, provider: Provider, receipt: Receipt, attempt: Attempt) -> Told:
        """Raises:
        ProviderError: it did not answer, or refused.
        """
        limits = self._limits[asked.target.provider]
        within_s = ANSWER_S if limits.whole_s is None else limits.whole_s
        credentials, number = provider.credentials, 0
        try:
            if credentials is not None:
                number = await credentials.ready(within_s)
            fields = provider.stored_head(asked.method, asked.below, JSON if asked.body else None)
            head = b"%bx-request-id: %b\r\n" % (fields, receipt.request_id.encode())
            exchange = await self._transport.send(
                provider.origin, head, asked.body, first_byte_s=within_s, whole=True
            )
            attempt.status = exchange.status
            returned, attempt.upstream_id = provider.down(exchange.headers, receipt.request_id)
            if not 200 <= exchange.status < 300:
                error = provider.failure(exchange.status, exchange.headers, await error_body(exchange))
                error.returned = returned
                if credentials is not None and isinstance(error, KeyRejected):
                    error.renewed = credentials.refused(number, lacks_right=error.lacks_right)
                raise error
            body = await exchange.read(min(limits.answer_bytes_max, ANSWER_BYTES_MAX), within_s=within_s)
            _check(body, provider)
        except FarthingError:
            raise
        except Exception as error:
            log.error("%s: the code of its provider failed", asked.target.provider, exc_info=error)
            raise ProviderUnavailable(f"the code of the provider failed: {type(error).__name__}") from error
        return Told(body, returned)

    def _note(self, error: ProviderError, asked: Asked, place: Place, attempt: Attempt) -> None:
        """Write a failure down, without secrets."""
        forget_frames(error)
        redact = place.provider.redact
        error.target = asked.target.name
        error.args = (redact.text(str(error)),)
        lines = error.returned.decode("latin-1")
        if redact.holds(lines) or redact.holds(attempt.upstream_id):
            error.returned = redact.text(lines).encode("latin-1")
            attempt.upstream_id = redact.text(attempt.upstream_id)
        attempt.error = error.code
        if attempt.status is None:
            attempt.status = error.upstream_status
        named = f"{asked.target.provider} {place.label}"
        if isinstance(error, KeyRejected) and not error.renewed and self._tells.again(named):
            log.warning("%s%s", error, f"; its code is {error.told}" if error.told else "")


def _check(body: bytes, provider: Provider) -> None:
    """Raises:
    ProviderError: it is no JSON object, or an error.
    """
    try:
        body.decode()
        told = _decode_object(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderUnavailable("the reply is not a JSON object", upstream_status=502) from error
    if bytes(told.get("error", Raw(NULL))) != NULL:
        raise provider.in_answer(body)


def _at_once(error: ProviderError) -> bool:
    """Whether the same call may well succeed now: it did not arrive, or its credentials are replaced."""
    if isinstance(error, KeyRejected):
        return error.renewed
    return isinstance(error, ProviderUnavailable) and error.nothing_received
