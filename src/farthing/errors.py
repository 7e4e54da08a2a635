"""Every error Farthing raises on purpose, and what each one means to the client.

    FarthingError
    ├── RequestError             the client must change something; never retried by us
    │   ├── InvalidRequest         400  invalid_request_error
    │   │   ├── ContextTooLong       400  context_length_exceeded
    │   │   └── BodyTooLarge         413  request_too_large
    │   ├── Unauthenticated        401  invalid_api_key
    │   ├── Forbidden              403  permission_denied
    │   ├── NoSuchRoute            404  not_found, or 405 where the method is wrong
    │   ├── UnknownModel           404  model_not_found
    │   ├── Blocked                400  content_filter
    │   ├── RateLimited            429  rate_limit_exceeded
    │   ├── BudgetExhausted        429  insufficient_quota      (x-should-retry: false)
    │   └── ContractExceeded       429  contract_exceeded       (x-should-retry: false)
    ├── Overloaded               503  ours: draining, too many requests at once, ledger full
    ├── ProviderError            one upstream attempt failed; the next target may be tried
    │   ├── ProviderUnavailable    refused, reset, 5xx, a reply that is not an answer
    │   ├── ProviderTimeout        no connection, no first chunk or no next chunk in time
    │   ├── ProviderBusy           429 from upstream, with the pause it asked for
    │   └── ProviderRejected       4xx from upstream: the request itself, or our key, was refused
    ├── NoProviderLeft           502  every target failed; carries every attempt's error
    ├── StreamBroken             502  failed after the first chunk: too late to fall back
    ├── StoreError               503  a backend failed; costs a miss, or 503 where the step fails closed
    └── ConfigError              start-up and reload only; names the key, the line and the fix

A bug is not in this tree: it is an AssertionError or a TypeError, and it is answered with a 500.
Messages say what is wrong and what to do about it; they are shown to the client as they are, so they
never hold a secret, a stored prompt or another tenant's name.
"""

from collections.abc import Sequence
from typing import ClassVar


class FarthingError(Exception):
    """Base of the tree. `status`, `kind` and `code` are what the edge puts on the wire."""

    status: ClassVar[int] = 500
    kind: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    retry: ClassVar[bool] = False
    """Whether the same request, sent again by the client, could succeed. Sent as `x-should-retry`."""


class RequestError(FarthingError):
    """The client must change something."""

    status = 400
    kind = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        """The field at fault, as `messages[0].role`, or None."""


class InvalidRequest(RequestError):
    code = "invalid_request_error"


class ContextTooLong(InvalidRequest):
    code = "context_length_exceeded"


class BodyTooLarge(InvalidRequest):
    status = 413
    code = "request_too_large"


class Unauthenticated(RequestError):
    status = 401
    kind = "authentication_error"
    code = "invalid_api_key"


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


class UnknownModel(RequestError):
    status = 404
    code = "model_not_found"


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


class ContractExceeded(RequestError):
    status = 429
    kind = "contract_error"
    code = "contract_exceeded"

    def __init__(self, message: str, *, limit: str) -> None:
        super().__init__(message)
        self.limit = limit
        """The name of the limit of the endpoint that was reached, as `calls_max`."""


class Overloaded(FarthingError):
    status = 503
    kind = "overloaded_error"
    code = "overloaded"
    retry = True

    def __init__(self, message: str, *, retry_after_s: float = 1.0, code: str = "overloaded") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.code = code  # type: ignore[misc]  # `ledger_unavailable` and `draining` are told apart


class ProviderError(FarthingError):
    """One attempt at one target failed. Ends at `models/call`, which tries the next target."""

    status = 502
    kind = "provider_error"
    code = "provider_error"

    def __init__(self, message: str, *, upstream_status: int | None = None, body: bytes = b"") -> None:
        super().__init__(message)
        self.upstream_status = upstream_status
        self.sent = True
        """A byte of the request may have reached the provider, so it may have been worked on."""
        self.body = body
        """The provider's own error body, at most `ERROR_BODY_BYTES_MAX` of it."""
        self.returned = b""
        """Header lines of its reply that a client may see."""


class ProviderUnavailable(ProviderError):
    code = "provider_unavailable"

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int | None = None,
        body: bytes = b"",
        nothing_received: bool = False,
    ) -> None:
        super().__init__(message, upstream_status=upstream_status, body=body)
        self.nothing_received = nothing_received
        """The connection ended before a single byte of a reply: one retry at the same target is fair."""


class ProviderTimeout(ProviderError):
    status = 504
    code = "provider_timeout"


class ProviderBusy(ProviderError):
    status = 429
    code = "provider_busy"

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None,
        upstream_status: int | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message, upstream_status=upstream_status, body=body)
        self.retry_after_s = retry_after_s
        """Seconds the provider asked us to wait, or None when it did not say."""


class ProviderRejected(ProviderError):
    """The provider refused the request itself; another target may still accept it."""

    code = "provider_rejected"


RELAYED_STATUSES = frozenset({400, 404, 405, 409, 413, 415, 422})
"""What is wrong with the request itself, in the provider's own words."""


class NoProviderLeft(FarthingError):
    status = 502
    kind = "provider_error"
    code = "no_provider_left"

    def __init__(self, failures: Sequence[ProviderError]) -> None:
        self.failures = tuple(failures)
        last = self.failures[-1] if self.failures else None
        if isinstance(last, ProviderRejected) and last.upstream_status in RELAYED_STATUSES:
            self.status = last.upstream_status  # type: ignore[misc]  # a refusal is passed on as theirs
        elif any(isinstance(failure, ProviderBusy) for failure in self.failures):
            self.status = 429  # type: ignore[misc]
        super().__init__("; ".join(f"{f.code}: {f}" for f in failures) or "the route has no target")


class StreamBroken(FarthingError):
    status = 502
    kind = "provider_error"
    code = "stream_broken"


class StoreError(FarthingError):
    status = 503
    code = "store_error"
    retry = True


class ConfigError(FarthingError):
    code = "config_error"
