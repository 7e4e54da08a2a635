"""Which headers pass between a client and a provider, both ways, besides those of the call itself.

Up go the few that choose what the provider does (`openai-beta`, …). Down come what it says of its limits, its
time and the call's id, so that an SDK or a person finds them where they would be without a gateway. Both
are lists: what is not named stays where it is. Not on them is what tells whose key is used
(`openai-organization`) or what makes two clients' calls one (`idempotency-key`); an operator may add such.
"""

from collections.abc import Iterable, Mapping

PASSED = (b"openai-beta", b"anthropic-beta", b"anthropic-version")
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
UPSTREAM_ID = b"x-upstream-request-id"

LINES_MAX = 40
TOLD_BYTES_MAX = 4_096  # all that pass together; where there is more, each is looked at
VALUE_BYTES_MAX = 512
NAMES_MAX = 500  # known of one provider's; what it invents beyond that is looked at anew each time

_DROPPED = -1
_COMES_BACK = len(IDS)


class Passage:
    """What passes between clients and one provider."""

    __slots__ = ("_exact", "_known", "_own", "_up")

    def __init__(
        self, pass_headers: Iterable[str] = (), return_headers: Iterable[str] = (), own: Iterable[str] = ()
    ) -> None:
        """`own` are headers the configuration sends itself, which no client replaces."""
        self._own = frozenset(name.lower() for name in own)
        self._up = frozenset((*(name.decode() for name in PASSED), *(n.lower() for n in pass_headers)))
        self._exact = RETURNED.union(name.lower().encode() for name in return_headers)
        self._known: dict[bytes, tuple[bytes, int]] = {}
        """Name as it came -> in lower case, and its place in `IDS`, `_COMES_BACK` or `_DROPPED`."""

    def up(self, passed: tuple[tuple[str, str], ...]) -> bytes:
        """The header lines for what a client sent of those that pass."""
        own, named = self._own, self._up
        lines = [f"{name}: {value}\r\n" for name, value in passed if name in named and name not in own]
        return "".join(lines).encode("latin-1")

    def down(self, headers: Mapping[bytes, bytes], request_id: str) -> tuple[bytes, str]:
        """The header lines for the client, and the provider's id of the call; empty where it gave none, or
        only ours (`request_id`) back."""
        known = self._known
        lines: list[bytes] = []
        best, found = _COMES_BACK, b""
        for name, value in headers.items():
            learnt = known.get(name)
            if learnt is None:
                learnt = self._learn(name)
            place = learnt[1]
            if place < 0:
                continue
            if place < best and value and value != request_id.encode():
                best, found = place, value
            if place == _COMES_BACK or learnt[0] in self._exact:
                lines.append(b"%b: %b\r\n" % (learnt[0], value))
        if found:
            lines.append(b"%b: %b\r\n" % (UPSTREAM_ID, found))
        told = b"".join(lines)
        if len(lines) > LINES_MAX or len(told) > TOLD_BYTES_MAX or not _is_clean(told, len(lines)):
            told = b"".join([line for line in lines if _is_good(line)][-LINES_MAX:])
        return told, found.decode("latin-1") if _is_good(found + b"\r\n") else ""

    def _learn(self, name: bytes) -> tuple[bytes, int]:
        lower = name.lower()
        if lower in IDS:
            place = IDS.index(lower)
        elif lower in self._exact or lower.startswith(RETURNED_PREFIXES):
            place = _COMES_BACK
        else:
            place = _DROPPED
        learnt = lower, place
        if len(self._known) < NAMES_MAX:
            self._known[name] = learnt
        return learnt


def _is_clean(told: bytes, lines: int) -> bool:
    """Whether every line of it may go out, as far as one look at all of them tells."""
    return told.count(b"\r\n") == lines and told.replace(b"\r\n", b"").decode("latin-1").isprintable()


def _is_good(line: bytes) -> bool:
    """Whether the value may stand in a header, and is not longer than one need be."""
    text = line[:-2].decode("latin-1")
    return len(text) <= VALUE_BYTES_MAX and text.isprintable()
