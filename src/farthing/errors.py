"""Every error Farthing raises on purpose, and what each one means to the client.

    FarthingError
    ├── RequestError             the client must change something; never retried by us
    │   ├── InvalidRequest         400  invalid_request_error
    │   │   ├── ContextTooLong       400  context_length_exceeded
    │   │   └── BodyTooLarge         413  request_too_large
    │   ├── UnsupportedMedia       415  unsupported_media_type
    │   ├── Unauthenticated        401  invalid_api_key         (x-should-retry: false)
    │   ├── Forbidden              403  permission_denied
    │   ├── NoSuchRoute            404  not_found, or 405 where the method is wrong
    │   ├── NoUpgrade              426  upgrade_required: a WebSocket was asked for where there is plain HTTP
    │   ├── UnknownModel           404  model_not_found
    │   ├── UnknownResponse        404  response_not_found: unknown, expired or another tenant's
    │   ├── UnknownCompletion      404  completion_not_found: the same of a stored chat completion
    │   ├── Blocked                400  content_filter
    │   ├── RateLimited            429  rate_limit_exceeded
    │   ├── BudgetExhausted        429  insufficient_quota      (x-should-retry: false)
    │   └── ContractExceeded       429  contract_exceeded       (x-should-retry: false)
    │       └── DeadlineExceeded     504  deadline_exceeded: the endpoint's `deadline_s` has passed
    ├── Overloaded               503  ours: draining, too many requests at once, ledger full
    ├── GuardrailFailed          503  a guardrail could not tell whether the request may pass
    ├── RetrievalFailed          503  the passages that an answer needs could not be had
    ├── ProviderError            one upstream attempt failed; the next target may be tried
    │   ├── ProviderUnavailable    refused, reset, 5xx, a reply that is not an answer
    │   ├── ProviderTimeout        no connection, no beginning of an answer or no next chunk in time
    │   ├── ProviderBusy           429 from upstream, with the pause it asked for
    │   └── ProviderRejected       4xx from upstream: the request itself was refused
    │       └── KeyRejected          our own key was: its words stay here, they may hold a part of it
    ├── NoProviderLeft           502  every target failed; carries every attempt's error. Where one target
    │                                 was asked, its own status and words
    ├── StreamBroken             502  failed after the answer had begun: too late to fall back
    ├── StoreError               503  a backend failed; costs a miss, or 503 where the step fails closed
    └── ConfigError              start-up and reload only; names the key, the line and the fix

A bug is not in this tree: it is an AssertionError or a TypeError, and it is answered with a 500.
Messages say what is wrong and what to do about it; they are shown to the client as they are, so they
never hold a secret, a stored prompt or another tenant's name. A provider's words are kept apart (`words`):
only the client that asked gets them, and its receipt an excerpt.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, ClassVar


class FarthingError(Exception):
    """Base of the tree. `status`, `kind` and `code` are what the edge puts on the wire."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retry: ClassVar[bool | None] = None
    """Whether a client should send the same again: sent as `x-should-retry`. False: it cannot help, or was
    done here already. None: nothing is said, and the client does as it would without us."""

    @property
    def in_full(self) -> str:
        """The message with the words of a provider that belong to it, for the client who asked. The message
        alone, which goes into logs too, has none: they may repeat what was asked."""
        return self.worded(str)

    def worded(self, cleaned: Callable[[str], str]) -> str:
        """As `in_full`, with the words of others as `cleaned` gives them back: what is ours stays."""
        return str(self)


def forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of an error that was dealt with, and of those that led to it.

    They hold every frame it went through, and with them the request. Where one of these has the error too,
    all of it would wait for the garbage collector, which runs seldom.
    """
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        one = chain.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            chain += [one.__cause__, one.__context__]


class RequestError(FarthingError):
    """The client must change something."""

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        """The field at fault, as `messages[0].role`, or None."""
        self.endpoint = ""
        """That which was asked for, where it is known although the request could not be read."""


class InvalidRequest(RequestError):
    code = "invalid_request_error"


class ContextTooLong(InvalidRequest):
    code = "context_length_exceeded"


class BodyTooLarge(InvalidRequest):
    status = 413
    code = "request_too_large"


class UnsupportedMedia(RequestError):
    status = 415
    code = "unsupported_media_type"


class Unauthenticated(RequestError):
    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"
    retry = False


class Forbidden(RequestError):
    status = 403
    kind = "permission_error"
    code = "permission_denied"


class NoSuchRoute(RequestError):
    status = 404
    code = "not_found"

    def __init__(self, message: str, *, allow: str = "") -> None:
        super().__init__(message)
        self.allow = allow
        """Methods the path does have, for 405 and its `allow` header; empty for 404."""
        if allow:
            self.status = 405  # type: ignore[misc]  # one fault, two statuses: the path or the method


class NoUpgrade(RequestError):
    """A WebSocket was asked for at a path that is there for plain HTTP alone."""

    status = 426
    code = "upgrade_required"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow
        """Methods that the path has."""


class UnknownModel(RequestError):
    status = 404
    code = "model_not_found"


class UnknownResponse(RequestError):
    """No stored response of that id is there for this tenant: nobody can tell whether for another."""

    status = 404
    code = "response_not_found"

    def __init__(self, id: str, *, param: str | None = None) -> None:
        """`param`: the field that named it; None: the path did."""
        what = "Previous response" if param else "Response"
        super().__init__(
            f"{what} with id '{id}' not found. Only those of endpoints with store_responses = true are "
            "kept, for their own tenant, until they expire or are deleted.",
            param=param,
        )
        if param:
            self.code = "previous_response_not_found"  # type: ignore[misc]  # as OpenAI tells them apart


class UnknownCompletion(RequestError):
    """No stored chat completion of that id is known for this tenant: nobody can tell whether for another."""

    status = 404
    code = "completion_not_found"

    def __init__(self, id: str, *, param: str | None = None) -> None:
        """`param`: the parameter that named it; None: the path did."""
        super().__init__(
            f"Chat completion with id '{id}' not found. Only those are here that were asked for with "
            "`store: true`, through this gateway, from a provider that keeps them; for their own tenant, "
            "until they expire or are deleted.",
            param=param,
        )


class Blocked(RequestError):
    code = "content_filter"


class RateLimited(RequestError):
    status = 429
    kind = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BudgetExhausted(RequestError):
    status = 429
    kind = "insufficient_quota"
    code = "insufficient_quota"
    retry = False


class ContractExceeded(RequestError):
    status = 429
    kind = "contract_error"
    code = "contract_exceeded"
    retry: ClassVar[bool | None] = False

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message)
        self.limit = limit
        """The name of the limit of the endpoint that was reached, as `calls_max`."""


class DeadlineExceeded(ContractExceeded):
    """Time ran out. No limit of a rate: another try has a time of its own."""

    status = 504
    kind = "timeout_error"
    code = "deadline_exceeded"
    retry = None

    def __init__(self, message: str) -> None:
        super().__init__(message, limit="deadline_s")


class Overloaded(FarthingError):
    status = 503
    kind = "overloaded_error"
    code = "overloaded"
    retry = True

    def __init__(self, message: str, *, retry_after_s: float = 1.0, code: str = "overloaded") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.code = code  # type: ignore[misc]  # `ledger_unavailable` and `draining` are told apart


class GuardrailFailed(FarthingError):
    status = 503
    code = "guardrail_failed"
    retry = True


class RetrievalFailed(FarthingError):
    status = 503
    code = "retrieval_failed"
    retry = True


UNPAID = 402
"""The status of a provider whose account has no money left; others say it with a 429 or a 400."""


class ProviderError(FarthingError):
    """One attempt at one target failed. Ends at `models/calling`, which tries the next target."""

    status = 502
    kind = "provider_error"
    code = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        said: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
        again: bool = False,
        words: str = "",
    ) -> None:
        super().__init__(message)
        self.words = words
        """What the provider said, in a line; empty when it said nothing. Without our keys."""
        self.upstream_status = upstream_status
        self.said = said
        """The provider's own error object, to be passed on as it is; None: it sent none, or none that may be
        shown (what it says of our key)."""
        self.retry_after_s = retry_after_s
        """Seconds the provider asked us to wait; None when it did not say."""
        self.refills_s: float | None = None
        """Seconds after which the next request fits its rate limit, as its headers have it, where it did not
        ask for a pause; None: they do not say."""
        self.again = again
        """The same target may well answer the same request a moment later."""
        self.sent = True
        """A byte of the request may have reached the provider, so it may have been worked on."""
        self.returned = b""
        """Header lines of its reply that a client may see."""
        self.target = ""
        """The target that was asked; empty until `models/calling` has written it."""
        self.own: bytes | None = None
        """The body of its reply, or the data of the event, as the provider wrote it in a dialect that is no
        chat's: a client of that dialect gets it as it is. None: there is none that may be shown."""
        self.advice: bool | None = None
        """What it said itself on sending the same again (`x-should-retry`); None: nothing."""
        self.counted: Any = None
        """The `Usage` that the provider counted all the same; None: it counted none."""
        self.spent = upstream_status == UNPAID
        """The account has no money left, which no pause ends."""
        self.unasked = False
        """Nothing was sent: its provider cannot be told the request, or failed before that."""

    def worded(self, cleaned: Callable[[str], str]) -> str:
        return f"{self}: {cleaned(self.words)}" if self.words else str(self)


class ProviderUnavailable(ProviderError):
    code = "provider_unavailable"

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        said: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
        again: bool = False,
        words: str = "",
        nothing_received: bool = False,
    ) -> None:
        super().__init__(
            message,
            upstream_status=upstream_status,
            said=said,
            retry_after_s=retry_after_s,
            again=again or nothing_received,
            words=words,
        )
        self.nothing_received = nothing_received
        """The connection ended before a single byte of a reply: it may have been stale."""


class ProviderTimeout(ProviderError):
    status = 504
    code = "provider_timeout"


class ProviderBusy(ProviderError):
    status = 429
    code = "provider_busy"


class ProviderRejected(ProviderError):
    """The provider refused the request itself; another target may still accept it."""

    code = "provider_rejected"
    renewed = False
    """The same target would be asked otherwise now: with other credentials, or without what it refused."""


SAID_MAX = 20  # names of fields in an error
SAID_CHARS_MAX = 100  # of each, for they are the client's


def named(names: Sequence[str]) -> str:
    """Names of fields for a header and a receipt: they may be a client's own words, and very many."""
    told = ", ".join([name[:SAID_CHARS_MAX] for name in names[:SAID_MAX]])
    return told if len(names) <= SAID_MAX else f"{told} and {len(names) - SAID_MAX} more"


class CannotSay(ProviderRejected):
    """The provider's interface has no word for something the client asked for; nothing was sent."""

    code = "cannot_say"

    def __init__(
        self,
        target: str,
        names: Sequence[str],
        reasons: Mapping[str, str] | None = None,
        *,
        operation: str = "",
        essential: Container[str] = (),
    ) -> None:
        """`reasons` says of a name why it cannot be said and what helps; `operation`: its interface does not
        have that at all, whatever the fields; `essential`: names that the gateway should not leave out."""
        self.names = tuple(name[:SAID_CHARS_MAX] for name in names[:SAID_MAX])
        self.more = len(names) - len(self.names)
        """Names beyond those."""
        self.reasons = reasons or {}
        self.operation = operation
        self.essential = essential
        self.asked = target
        message = self.worded(str)
        said = {
            "message": message,
            "type": "invalid_request_error",
            "param": "model" if operation else self.names[0],
            "code": self.code,
        }
        super().__init__(message, upstream_status=400, said=said)
        self.unasked = True

    def worded(self, cleaned: Callable[[str], str]) -> str:
        """A name that is not of the interface may be a client's own word: `cleaned` sees it, quoted."""
        return f"{self.asked} {self._lack(cleaned)}"

    def _lack(self, cleaned: Callable[[str], str]) -> str:
        """What is said of the target."""
        if self.operation:
            able = (
                "only those of the kinds `openai` and `gemini` can"
                if self.operation == "embeddings"
                else "only those of the kind `openai` can; if this one is of that kind and has it, list it "
                "in its `operations`"
            )
            return f"has no {self.operation}: configure a provider that has, and name its model; {able}"
        plain = [name for name in self.names if name not in self.reasons]
        parts = [f"`{name}`: {self.reasons[name]}" for name in self.names if name in self.reasons]
        if plain:
            them = "it" if len(plain) == 1 else "them"
            provider = self.asked.partition("/")[0]
            more = f" and {self.more} more" if self.more else ""
            named = " and ".join(cleaned(f"`{name}`") for name in plain)
            if any(name in self.essential for name in plain):
                parts.append(f"{named}{more}: leave {them} out, or name a model of another provider")
            else:
                parts.append(
                    f"{named}{more}: leave {them} out, name a model of another provider, or let the gateway "
                    f"leave {them} out (providers.{provider}.drop)"
                )
        return f"cannot be asked for {'; nor for '.join(parts)}"

    @staticmethod
    def together(failures: Sequence["CannotSay"], cleaned: Callable[[str], str]) -> str:
        """What is said of several targets; where that is the same, once."""
        found: dict[str, dict[str, None]] = {}
        for one in failures:
            found.setdefault(one._lack(cleaned), {})[one.asked] = None
        return "; ".join(f"{' and '.join(targets)} {lack}" for lack, targets in found.items())

    @classmethod
    def of_all(cls, failures: Sequence["CannotSay"]) -> "CannotSay":
        """One that tells the client of every target that was passed over."""
        first = failures[0]
        found = cls(first.asked, first.names, first.reasons, operation=first.operation)
        words = cls.together(failures, str)
        found.args = (words,)
        found.said = {**(found.said or {}), "message": words}
        return found


class OutsideResidency(ProviderRejected):
    """The endpoint's data must not go where the target answers; nothing was sent."""

    code = "residency"

    def __init__(self, target: str, region: str, endpoint: str, residency: Sequence[str]) -> None:
        """`region` is empty where nobody knows it."""
        where = f"answers in {region}" if region else "answers nobody knows where"
        fix = (
            "ask for a model within"
            if region
            else f"set region in [providers.{target.partition('/')[0]}] if it does"
        )
        message = (
            f"{target} {where}, and requests of the endpoint {endpoint} must not leave "
            f"{', '.join(residency)}; {fix}"
        )
        said = {
            "message": message,
            "type": "invalid_request_error",
            "param": "model",
            "code": self.code,
        }
        super().__init__(message, upstream_status=403, said=said)
        self.unasked = True


class KeyRejected(ProviderRejected):
    """The provider refused our own key: nothing that the client could change."""

    told = ""
    """The provider's code for it, for the log alone; empty when it gave none."""
    lacks_right = False
    """It is known and may not do this (403): what else it may do, at other models, is another matter."""


class NoProviderLeft(FarthingError):
    status = 502
    kind = "provider_error"
    code = "no_provider_left"

    def __init__(self, failures: Sequence[ProviderError], *, tried_again: bool = False) -> None:
        """`tried_again`: more than one call was made, and as many as may be made for one request."""
        self.failures = tuple(failures)
        asked = _asked(self.failures)
        self.passed_on = _passed_on(self.failures, asked)
        """The failure that the client is told as its provider told it; None: it is told of all of them."""
        self.retry_after_s = _retry_after_s(self.failures)
        """Seconds after which another try makes sense; None when nobody knows."""
        self.status = _status(asked, self.passed_on)  # type: ignore[misc]
        permanent = bool(asked) and all(map(_permanent, asked))
        if permanent or (tried_again and self.retry_after_s is None):
            self.retry = False  # type: ignore[misc]
        if isinstance(self.passed_on, CannotSay | OutsideResidency):
            self.code = self.passed_on.code  # type: ignore[misc]  # as the client is told
        brief = "; ".join(dict.fromkeys(f"{f.code}: {f}" for f in failures)) or NO_TARGET
        super().__init__(self.worded(str) if self._unsaid else brief)

    @property
    def _unsaid(self) -> tuple[CannotSay, ...]:
        """Its failures where no target was asked, since none has a word for the request; else none."""
        found = tuple(one for one in self.failures if isinstance(one, CannotSay))
        return found if len(found) == len(self.failures) else ()

    def worded(self, cleaned: Callable[[str], str]) -> str:
        if self._unsaid:
            return CannotSay.together(self._unsaid, cleaned)
        said = dict.fromkeys(f"{one.code}: {one.worded(cleaned)}" for one in self.failures)
        return "; ".join(said) or NO_TARGET


NO_TARGET = "the route has no target"
RETRY_AFTER_S_MAX = 31_536_000.0  # a year: SDKs give up at a long wait, and make a short one
SOONER_S_MAX = 60.0  # where a target that named no wait may be well before


def _asked(failures: Sequence[ProviderError]) -> Sequence[ProviderError]:
    """The failures of targets that were asked; all of them where none was."""
    return [failure for failure in failures if not failure.unasked] or failures


def _passed_on(failures: Sequence[ProviderError], asked: Sequence[ProviderError]) -> ProviderError | None:
    """What one target said goes to the client as without us: so does a refusal of the request itself by the
    last that was asked."""
    last = asked[-1] if asked else None
    unsaid = [failure for failure in failures if isinstance(failure, CannotSay)]
    if unsaid and len(unsaid) == len(failures):
        return CannotSay.of_all(unsaid)
    if last is None or last.upstream_status is None or isinstance(last, KeyRejected):
        return None
    alone = all(failure.target == last.target for failure in asked)
    return last if alone or isinstance(last, ProviderRejected) else None


def _status(failures: Sequence[ProviderError], passed_on: ProviderError | None) -> int:
    if passed_on is not None and passed_on.upstream_status is not None and passed_on.upstream_status >= 400:
        return passed_on.upstream_status
    if any(isinstance(failure, ProviderBusy) for failure in failures):
        return 429
    return 504 if failures and all(isinstance(f, ProviderTimeout) for f in failures) else 502


def _retry_after_s(failures: Sequence[ProviderError]) -> float | None:
    waits = [failure.retry_after_s for failure in failures if failure.retry_after_s is not None]
    if not waits:
        return None
    sooner = any(failure.again and failure.retry_after_s is None for failure in failures)
    return min(min(waits), SOONER_S_MAX if sooner else RETRY_AFTER_S_MAX)


def _permanent(failure: ProviderError) -> bool:
    refused = isinstance(failure, ProviderRejected) or failure.upstream_status == 429
    return refused and not failure.again and failure.retry_after_s is None


class StreamBroken(FarthingError):
    status = 502
    kind = "provider_error"
    code = "stream_broken"

    def __init__(self, message: str, *, said: dict[str, Any] | None = None, words: str = "") -> None:
        super().__init__(message)
        self.said = said
        """The provider's own error object; None: it broke without a word."""
        self.words = words
        """As of a `ProviderError`."""
        self.own: bytes | None = None
        """The event that ended it, as the provider wrote it, as `ProviderError.own`."""
        self.refused = False
        """The provider ended it for what was asked or said: it would be ended again."""

    def worded(self, cleaned: Callable[[str], str]) -> str:
        return f"{self}: {cleaned(self.words)}" if self.words else str(self)


class StoreError(FarthingError):
    status = 503
    code = "store_error"
    retry = True


class ConfigError(FarthingError):
    code = "config_error"
