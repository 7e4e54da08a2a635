"""Which headers pass between a client and a provider, in both directions, besides those of the call itself.

Up go the few that choose what the provider does (`openai-beta`, …). Down come those about the provider's
limits, its time and the call's id, so that an SDK or a person finds them as without a gateway. Both are
allow-lists: other headers do not pass. Not on them are headers that reveal whose key is used
(`openai-organization`) or that make two clients' calls one (`idempotency-key`); an operator may add such
headers.
"""

from collections.abc import Iterable, Mapping
from operator import itemgetter

from farthing.models.transport.times import TOLD_IN, milliseconds

PASSED = (b"openai-beta", b"anthropic-beta", b"anthropic-version")
OF_MESSAGES = "anthropic-"
"""How headers begin that a client of Messages sends with every request; they say nothing to other kinds."""
RETURNED = frozenset(
    {
        b"openai-processing-ms",
        b"openai-version",
        b"openai-model",
        b"apim-request-id",  # Azure
        b"azureml-model-session",
        b"x-ms-region",
        b"x-ms-deployment-name",
        b"cf-ray",
        b"x-groq-region",
        b"x-generation-id",  # OpenRouter's name for the call, to ask its price by
    }
)
RETURNED_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
IDS = (b"x-request-id", b"request-id", b"apim-request-id", b"x-amzn-requestid", b"x-generation-id", b"cf-ray")
"""Where a provider names the call, the best first. Its id goes down as `x-upstream-request-id`."""

LINES_MAX = 40
TOLD_BYTES_MAX = 4_096  # all that pass together; where there is more, each is looked at
VALUE_BYTES_MAX = 512
PLANS_MAX = 200  # a provider sends a few sets of names; what it invents beyond that is looked at anew


class _Plan:
    """Which headers pass, of replies with one set of header names."""

    __slots__ = ("back", "ids", "lines", "times", "values")

    def __init__(
        self, ids: tuple[bytes, ...], back: list[bytes], times: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self.times = times
        """Names that may say how long the provider worked, the best first, and the same in lower case."""
        self.ids = ids
        """Names that may hold the provider's id, the best first."""
        self.back = b"".join([b"%b: %%b\r\n" % name.lower().replace(b"%", b"%%") for name in back])
        """The lines that go down, open at their values."""
        self.lines = len(back)
        self.values = itemgetter(*back) if back else None


class Passage:
    """Which headers pass between clients and one provider."""

    __slots__ = ("_back", "_last", "_own", "_plans", "_up")

    def __init__(
        self, pass_headers: Iterable[str] = (), return_headers: Iterable[str] = (), own: Iterable[str] = ()
    ) -> None:
        """`own` are headers that the configuration sends itself; no client replaces them."""
        self._own = frozenset(name.lower() for name in own)
        self._up = frozenset((*(name.decode() for name in PASSED), *(n.lower() for n in pass_headers)))
        self._back = RETURNED.union(name.lower().encode() for name in return_headers)
        self._plans: dict[tuple[bytes, ...], _Plan] = {}
        self._last: tuple[Mapping[bytes, bytes] | None, _Plan] = (None, _Plan((), []))
        """The headers that were looked at last, and their plan: one reply is asked about twice."""

    def up(self, passed: tuple[tuple[str, str], ...], without: str | None = None) -> bytes:
        """The header lines for what a client sent of those that pass. `without`: none that begin so."""
        own, named = self._own, self._up
        lines = [
            f"{name}: {value}\r\n"
            for name, value in passed
            if name in named and name not in own and (without is None or not name.startswith(without))
        ]
        return "".join(lines).encode("latin-1")

    def down(self, headers: Mapping[bytes, bytes], request_id: str) -> tuple[bytes, str]:
        """The header lines for the client, and the provider's id of the call; empty where it gave none, or
        only ours (`request_id`) back."""
        plan = self._plan_of(headers)
        if not plan.lines and not plan.ids:
            return b"", ""
        found, named = "", b""
        for name in plan.ids:
            found = headers[name].decode("latin-1")
            if found and found != request_id and len(found) <= VALUE_BYTES_MAX and found.isprintable():
                named = b"x-upstream-request-id: %b\r\n" % headers[name]
                break
            found = ""
        if plan.values is None and named.isascii():
            return named, found
        told = named if plan.values is None else plan.back % plan.values(headers) + named
        lines = plan.lines + (found != "")
        if (
            told.count(b"\n") != lines
            or len(told) > TOLD_BYTES_MAX
            or lines > LINES_MAX
            or not told.isascii()
        ):
            told = b"".join([b"%b\r\n" % line for line in told.split(b"\r\n") if _is_good(line)][-LINES_MAX:])
        return told, found

    def took(self, headers: Mapping[bytes, bytes]) -> float | None:
        """The milliseconds that the provider says it worked on a call; None: it does not say."""
        last, plan = self._last
        if last is not headers:
            plan = self._plan_of(headers)
        for name, lower in plan.times:
            told_ms = milliseconds(lower, headers[name])
            if told_ms is not None:
                return told_ms
        return None

    def _plan_of(self, headers: Mapping[bytes, bytes]) -> _Plan:
        last, plan = self._last
        if last is headers:
            return plan
        names = tuple(headers)
        found = self._plans.get(names) or self._plan(names)
        self._last = (headers, found)
        return found

    def _plan(self, names: tuple[bytes, ...]) -> _Plan:
        ids: dict[int, bytes] = {}
        back = []
        lower_names = {name.lower(): name for name in names}
        times = tuple((lower_names[name], name) for name in TOLD_IN if name in lower_names)
        for name in names:
            lower = name.lower()
            if lower in IDS:
                ids[IDS.index(lower)] = name
            if lower in self._back or lower.startswith(RETURNED_PREFIXES):
                back.append(name)
        plan = _Plan(tuple(ids[place] for place in sorted(ids)), back, times)
        if len(self._plans) < PLANS_MAX:
            self._plans[names] = plan
        return plan


def _is_good(line: bytes) -> bool:
    """Whether the value is valid in a header and of a reasonable length."""
    text = line.decode("latin-1")
    return bool(text) and len(text) <= VALUE_BYTES_MAX and text.isprintable()
