"""Keys by which providers that cache prompts by themselves find where a prompt's beginning is cached.

Such a provider sends a request to one of many machines, each with a cache of its own, by a hash of the
prompt's first tokens and of its key. Without a key all prompts that begin alike go to one machine, until they
are too many for it and some go elsewhere. So a key says what the prompt begins with, and where more than
`PER_MINUTE_MAX` a minute do it is one of several: each conversation keeps one of them.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from farthing.models.prompt_cache.shares import Shares
from farthing.models.prompt_cache.terms import terms_of
from farthing.types import Prompt, Request, Target

PER_MINUTE_MAX: Final = 15
"""Of one key and beginning: more overflow to further machines, by OpenAI's guide."""
PARTS_MAX: Final = 64
BEGINNING_CHARS: Final = 1_000
"""About the tokens by which a machine is chosen. What stands behind them does not change the key."""
BEGINNINGS_MAX: Final = 2_000
TOKENS_MIN: Final = 1_024
"""Of a prompt that is cached, where a model's own minimum is not known."""
MINUTE_S: Final = 60.0
QUIET_S: Final = 3_600.0
"""After so long at half the rate or less there are half as many keys: each change costs what was cached."""


class _Rate:
    """How often a beginning comes, and among how many keys its conversations are spread."""

    __slots__ = ("_begins", "_busy_s", "_count", "_keys", "_since_s", "parts")

    def __init__(self, begins: "blake2b", now_s: float) -> None:
        self._begins = begins
        self._keys = {0: "fg-" + begins.hexdigest()}
        self.parts = 1
        self._since_s = now_s
        self._busy_s = now_s
        self._count = 0

    def key(self, part: int) -> str:
        found = self._keys.get(part)
        if found is None:
            told = self._begins.copy()
            told.update(b"\0%d" % part)
            found = self._keys[part] = "fg-" + told.hexdigest()
        return found

    def count(self, now_s: float) -> None:
        if now_s - self._since_s >= MINUTE_S:
            self._since_s, self._count = now_s, 0
        self._count += 1
        while self._count > PER_MINUTE_MAX * self.parts and self.parts < PARTS_MAX:
            self.parts *= 2
        if self._count * 2 > PER_MINUTE_MAX * self.parts:
            self._busy_s = now_s
        elif self.parts > 1 and now_s - self._busy_s > QUIET_S:
            self.parts //= 2
            self._busy_s = now_s


class PromptKeys:
    """The rates of beginnings, as many as `BEGINNINGS_MAX`, which tenants share fairly. Outlives a reload."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._rates: Shares[_Rate] = Shares(BEGINNINGS_MAX)

    def key(self, request: Request, prompt: Prompt, target: Target) -> str:
        """The same for all calls of a conversation while its beginning comes about as often; of two tenants
        never the same. Empty: the client has its own, or the prompt is too short to be cached."""
        sent = prompt.sent
        if prompt.input_tokens * 2 < (terms_of(target).tokens_min or TOKENS_MIN) or prompt.body.get(
            "prompt_cache_key"
        ):
            return ""
        if sent is not None and sent.body.get("prompt_cache_key"):
            return ""
        rate = self._rate(request.tenant.name, target.name, _beginning(request))
        if rate.parts == 1:
            return rate.key(0)
        whose = request.session or request.user + _question(request)
        part = blake2b(whose.encode("utf-8", "surrogatepass"), digest_size=2).digest()
        return rate.key(int.from_bytes(part) % rate.parts)  # of twice as many, half keep theirs

    def _rate(self, tenant: str, target: str, beginning: tuple[object, ...]) -> _Rate:
        now_s = self._clock()
        known = (target, hash(beginning))
        rate = self._rates.get(tenant, known)
        if rate is None:
            told = blake2b(tenant.encode(), digest_size=12, person=b"prompt_cache_key")
            told.update(b"\0%b\0" % target.encode())
            told.update(repr(list(beginning)).encode("utf-8", "surrogatepass"))
            rate = _Rate(told, now_s)
            self._rates.put(tenant, known, rate)
        else:
            self._rates.used(tenant, known)
        rate.count(now_s)
        return rate


def _beginning(request: Request) -> tuple[object, ...]:
    """The first of what the provider reads: the first tool's name, and the first message."""
    body = request.body
    found: tuple[object, ...] = ()
    tools = body.get("tools")
    if tools.__class__ is list and tools and tools[0].__class__ is dict:
        function = tools[0].get("function")
        name = (function if function.__class__ is dict else tools[0]).get("name")
        found = (name if name.__class__ is str else "", len(tools))
    messages = body.get("messages")
    if messages.__class__ is list and messages:
        return (*found, _text(messages[0]))
    return found


def _question(request: Request) -> str:
    """What a conversation is known by: the first that its user says."""
    messages = request.body.get("messages")
    for message in messages if messages.__class__ is list else ():
        if message.__class__ is dict and message.get("role") == "user":
            return _text(message)
    return ""


def _text(message: Any) -> str:
    content = message.get("content") if message.__class__ is dict else None
    if content.__class__ is list and content and content[0].__class__ is dict:
        content = content[0].get("text")
    return content[:BEGINNING_CHARS] if content.__class__ is str else ""
