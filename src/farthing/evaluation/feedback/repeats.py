"""A question that is asked again soon after it was answered is a signal about that answer.

A repeat is the same last question from the same session, or the same user if there is no session, at the same
endpoint of the same tenant, ignoring letter case and white space. The exact cache may answer it: what counts
is that the client asked again. Not repeats: a step of an agent, whose last message is not a person's; a
request that the client's SDK retries by itself; one whose predecessor was not answered. Without session and
user, clients cannot be told apart, and nothing is noted.

People also ask twice for other reasons (a closed window, a second look), so a repeat weighs little: its
quality is `REPEATED`, and it is never averaged with a judge's or a person's verdict.
"""

from collections import OrderedDict
from collections.abc import Callable

from farthing.protocols import Ledger
from farthing.text.phrase import normalised
from farthing.types import Receipt, Request, Signal

REPEATED = 0.25
KEPT_MAX = 5_000  # about 8 MB of receipts
FOLDED_CHARS_MAX = 400  # nobody retypes a longer question; resending one does not change a letter
ANSWERED_S = 600.0  # an answer takes no longer; a question is kept this long plus the window


class Repeats:
    """Remembers the last questions of this process. Bounded; one event loop."""

    def __init__(
        self, ledger: Ledger, *, clock_unix_s: Callable[[], float], kept_max: int = KEPT_MAX
    ) -> None:
        self._ledger = ledger
        self._clock_unix_s = clock_unix_s
        self._kept_max = kept_max
        self._within_s = 0.0
        """The longest window of any endpoint: one endpoint may still need what another no longer does."""
        self._asked: OrderedDict[int, Receipt] = OrderedDict()
        """Digest of who asked what -> the receipt of the latest request, oldest first. No text is kept."""

    def __len__(self) -> int:
        return len(self._asked)

    def asked(self, request: Request, receipt: Receipt, within_s: float) -> None:
        """Note that `request` was asked; write a signal if it repeats one answered at most `within_s` ago."""
        who = request.session or request.user
        if not who or request.operation != "chat" or not _by_a_person(request):
            return
        text = request.text
        if len(text) <= FOLDED_CHARS_MAX:
            text = normalised(text)
        if not text:
            return
        # keyed by the process (PYTHONHASHSEED), 64 bits: the chance of a collision is 1 in 10**12
        key = hash((request.tenant.name, request.endpoint.name, request.session is None, who, text))
        asked = self._asked
        earlier = asked.pop(key, None)
        asked[key] = receipt
        self._within_s = max(self._within_s, within_s)
        self._drop_old(request.received_s - self._within_s - ANSWERED_S)
        if earlier is None or receipt.client_retry or earlier.status != 200 or not earlier.total_ms:
            return
        since_s = request.received_s - earlier.started_s - earlier.total_ms / 1000
        if since_s <= within_s:
            self._tell(earlier, since_s)

    def _drop_old(self, before_s: float) -> None:
        """Drop what is too old, a few at a time, and what exceeds the bound."""
        asked = self._asked
        if len(asked) > self._kept_max:
            asked.popitem(last=False)
        for _ in range(2):
            oldest = next(iter(asked))
            if asked[oldest].started_s >= before_s:
                break
            del asked[oldest]

    def _tell(self, earlier: Receipt, since_s: float) -> None:
        self._ledger.signal(
            Signal(
                request_id=earlier.request_id,
                at_unix_s=self._clock_unix_s(),
                source="reask",
                quality=REPEATED,
                target=earlier.target,
                tenant=earlier.tenant,
                endpoint=earlier.endpoint,
                detail=f"asked again after {max(0.0, since_s):.0f} s",
            )
        )


def _by_a_person(request: Request) -> bool:
    """Whether the last message is a user's: an agent's steps repeat the question they work on."""
    messages = request.body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    return isinstance(last, dict) and last.get("role") == "user"
