"""When two requests are the same. An unknown field makes a miss, never a wrong hit."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from farthing.config import EndpointCacheConfig
from farthing.dialects.chat.fields import BILLING
from farthing.dialects.chat.requests.marks import without_marks
from farthing.text.phrase import normalised
from farthing.types import Json, Request

# Fields of the body that cannot change the text of an answer. Every other name, known or not, is part
# of the key. Add a name only with its reason.
DROPPED = frozenset(
    {
        "stream",  # how the answer is delivered
        "stream_options",  # whether a usage chunk is appended to the delivery
        "user",  # the provider's abuse tracking
        "safety_identifier",  # its newer name
        "metadata",  # labels in the provider's dashboard
        "store",  # whether the provider keeps a copy
        "service_tier",  # price and queue of the call
        "prompt_cache_key",  # which prefix cache the provider tries
        "prompt_cache_retention",  # for how long it keeps it
        "prompt_cache_options",  # both, at Responses
        "client_metadata",  # labels of the client's own
        "cache_control",  # what it is to keep
        "diagnostics",  # whether it says why it found nothing there
        BILLING,  # a note for the provider's accounts
    }
)

# Headers that the configuration may forward to a provider, and that cannot change the answer.
SAME_ANSWER = frozenset(
    {
        "traceparent",  # tracing
        "tracestate",
        "baggage",
        "anthropic-version",  # the form of the answer, which is one here
        "x-client-request-id",  # the client's name for the call
        "idempotency-key",
        "http-referer",  # the app's name in a provider's statistics
        "referer",
        "x-title",
    }
)

_DROPPED_OF = DROPPED.intersection

# Separates these digests from every other use of the hash. Raise the number when what is hashed changes, so
# that no old entry is read as a new one.
_FORMAT = "farthing.answer.2"

# MessagePack frames every value with its type and length, so distinct requests have distinct encodings.
_encode = msgspec.msgpack.Encoder(order="sorted").encode


class _Phrases(dict[str, str]):
    """Normalised phrase -> its key name; `fold` says whether other questions are normalised too."""

    def __init__(self, phrases: Mapping[str, str], *, fold: bool) -> None:
        super().__init__(phrases)
        self.fold = fold


class CacheKeys:
    """Computes the keys of one configuration. `policy` is its version: answers never outlive the rules that
    chose their model. `forgotten` gives the number of invalidations of an endpoint by operators (None: no
    invalidations): answers from before lie under other keys. `arm` names the version of the routing policy
    that decides a request, or is empty: an answer of one version is never given under another, nor after the
    version was rolled back."""

    __slots__ = ("_arm", "_forgotten", "_phrases", "_policy")

    def __init__(
        self,
        *,
        policy: str = "",
        endpoints: Mapping[str, EndpointCacheConfig] | None = None,
        forgotten: Callable[[str], int] | None = None,
        arm: Callable[[Request], str] | None = None,
    ) -> None:
        self._policy = policy
        self._arm = arm
        self._forgotten = forgotten
        self._phrases: dict[str, _Phrases] = {}
        """Endpoint -> phrases to key names; present only where questions are normalised."""
        for name, settings in (endpoints or {}).items():
            phrases = {normalised(p): entry.key for entry in settings.keys for p in entry.phrases}
            if phrases or settings.normalised:
                self._phrases[name] = _Phrases(phrases, fold=settings.normalised)

    def key(self, request: Request) -> bytes | None:
        """The key of `request`; None if its answer must not be shared or kept.

        That is: the endpoint's cache is off, the request is a step of an agent (its last message is a tool
        result), or the body has no usable messages or cannot be encoded.
        """
        endpoint = request.endpoint
        if endpoint.cache_exact == "off":
            return None
        body = reduced(request.body)
        if request.operation == "chat":
            messages = body.get("messages")
            if not messages or messages.__class__ is not list:
                return None
            last = messages[-1]
            if last.__class__ is not dict or last.get("role") in ("tool", "function"):
                return None
            if self._phrases:
                phrases = self._phrases.get(endpoint.name)
                if phrases is not None:
                    body["messages"] = _with_question_folded(messages, phrases)
        policy = self._policy if self._arm is None else self._policy + self._arm(request)
        semantic = endpoint.semantic
        if semantic is None and not request.documents:
            return digest_of(_FORMAT, policy, request, body)
        return digest_of(_FORMAT, policy, request, body, *self._sources(request))

    def _sources(self, request: Request) -> tuple[Any, ...]:
        """The documents, their version and the invalidations that an answer depends on; empty if there are
        none."""
        endpoint = request.endpoint
        version = "" if endpoint.semantic is None else endpoint.semantic.documents
        forgotten = 0 if self._forgotten is None else self._forgotten(endpoint.name)
        sources = request.documents, version, forgotten
        return sources if any(sources) else ()


def reduced(body: Json) -> Json:
    """A copy of `body` without what cannot change the text of an answer."""
    found = without_marks(body).copy()
    for name in _DROPPED_OF(found):
        del found[name]
    return found


def digest_of(form: str, policy: str, request: Request, body: Json, *more: Any) -> bytes | None:
    """The digest of everything that must be equal for two requests to be the same: who asks, where, under
    which policy, and `body`, reduced to what matters. None: it cannot be encoded.

    `form` separates the digests of one use from those of every other.
    """
    tenant = request.tenant
    scope = (
        form,
        policy,
        tenant.name,
        tenant.plan,
        request.endpoint.name,
        request.operation,
        request.model,
        request.tier,
        request.task_type,
        request.language,
        request.retrieval,
        request.context_tokens,
        body,
        *more,
    )
    if request.tiers is not None:
        scope = (*scope, {"tiers": request.tiers})
    if request.passed:
        chosen = [pair for pair in request.passed if pair[0] not in SAME_ANSWER]
        scope = (*scope, {"headers": chosen}) if chosen else scope
    try:
        encoded = _encode(scope)
    except (OverflowError, UnicodeEncodeError, TypeError, RecursionError):
        return None  # a number or string that MessagePack cannot hold: a miss
    return sha256(encoded).digest()  # twice as fast as blake2b if the processor has SHA instructions


def _with_question_folded(messages: list[Any], phrases: _Phrases) -> list[Any]:
    """Replace the text of the last user message, if it is plain text, by its normalised form.

    The replacement is a byte string, which JSON cannot contain, so no client's body can equal it. The
    message's other fields and all other messages stay.
    """
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.__class__ is not dict or message.get("role") != "user":
            continue
        content = message.get("content")
        if content.__class__ is not str:
            return messages
        text = normalised(content)
        name = phrases.get(text)
        if name is not None:
            stands_for = b"k" + name.encode()
        elif phrases.fold:
            stands_for = b"t" + text.encode("utf-8", "surrogatepass")
        else:
            return messages
        return [*messages[:index], {**message, "content": stands_for}, *messages[index + 1 :]]
    return messages
