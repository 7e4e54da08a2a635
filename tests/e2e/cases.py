"""A request in a client's words, what the provider answers in its own, and what each of them must see.

A `Case` travels over real sockets through one gateway; `Trip` is what came of it.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal

from tests.e2e import official
from tests.e2e.gateway import Reply, Running
from tests.e2e.matching import faults
from tests.e2e.streams import Frame, chat_faults, frames, messages_faults
from tests.faults.exact import Exact
from tests.faults.provider import FaultProvider
from tests.faults.truth import Call

from farthing.types import Receipt

Json = dict[str, Any]
Door = Literal["messages", "chat", "responses"]

CLIENT_KEY: Final = "fk-of-the-client-0123456789abcdef"
PROVIDER_KEY: Final = "sk-of-the-gateway"
PATHS: Final[Mapping[Door, str]] = {
    "messages": "/v1/messages",
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
}
INPUT, OUTPUT, READ, WRITE_5M, WRITE_1H = 3_000, 15_000, 300, 3_750, 6_000
"""Nano-dollars of a token."""
SEARCH: Final = 10_000_000
"""Nano-dollars of a search."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    asks: Any
    """The request's body without `model`; bytes are sent as they are, with the model in them."""
    says: Exact | tuple[Exact, ...] = ()
    """What the provider answers: one after the other, and the last ever after."""
    model: str
    door: Door = "messages"
    query: str = ""
    headers: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    """None: the header that the official client sends is not sent."""
    up: Any = None
    """A sketch of the body that reaches the provider. None: it is not looked at."""
    up_headers: Any = None
    """A sketch of the headers that come with it."""
    untouched: bool = False
    """Nobody translates: the body goes up byte for byte but for its model, and back as it came."""
    calls: int = 1
    status: int = 200
    back: Any = None
    """A sketch of the answer: the whole one, what the official client makes of a stream, or, where the
    stream breaks, its error."""
    breaks: str | None = None
    """The text that comes before the error of a stream that breaks. None: it does not break."""
    back_headers: Any = None
    nusd: int | None = None
    """What the receipt says it cost. None: it is not looked at."""
    receipt: Callable[[Receipt], bool] | None = None
    also: Callable[["Trip"], None] | None = None
    """Asserts what no sketch can say."""

    @property
    def sends(self) -> bytes:
        """The body of the request."""
        if isinstance(self.asks, bytes):
            return self.asks
        return json.dumps({"model": self.model, **self.asks}).encode()

    @property
    def streams(self) -> bool:
        with suppress(ValueError):
            body = json.loads(self.sends)
            return isinstance(body, dict) and body.get("stream") is True
        return False


@dataclasses.dataclass(frozen=True, slots=True)
class Trip:
    case: Case
    gateway: Running
    upstream: FaultProvider
    reply: Reply
    calls: tuple[Call, ...]
    receipt: Receipt

    @property
    def frames(self) -> list[Frame]:
        return frames(self.reply.body)

    @property
    def up(self) -> Any:
        """The body that the first call brought."""
        return self.calls[0].json

    @property
    def back(self) -> Any:
        """What `Case.back` sketches."""
        if "event-stream" not in self.reply.headers.get("content-type", ""):
            return self.reply.json
        if self.case.breaks is not None:
            return self.frames[-1].data
        read = official.message_of if self.case.door == "messages" else official.completion_of
        return read(self.reply.body)

    def goes_on(self, *turns: Json) -> "Trip":
        """The same request with more messages behind its own."""
        asks = {**self.case.asks, "messages": [*self.case.asks["messages"], *turns]}
        return travel(dataclasses.replace(self.case, asks=asks), self.gateway, self.upstream)


def travel(case: Case, gateway: Running, upstream: FaultProvider) -> Trip:
    says = case.says if isinstance(case.says, tuple) else (case.says,)
    if says:
        upstream.exactly(case.model.partition("/")[2], *says)
    before = len(upstream.calls)
    headers = {name: value for name, value in {**given(case.door), **case.headers}.items() if value}
    reply = gateway.post(PATHS[case.door] + case.query, case.sends, headers)
    with suppress(TimeoutError):  # too few are a fault, as too many are
        upstream.wait_ended(before + case.calls)
    return Trip(case, gateway, upstream, reply, upstream.calls[before:], gateway.receipt_of(reply))


def given(door: Door) -> dict[str, str]:
    """The headers that the official client of a door sends."""
    if door == "messages":
        return {"x-api-key": CLIENT_KEY, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {CLIENT_KEY}"}


def faults_of(trip: Trip) -> list[str]:
    """Hold a trip against its case, but for `also`."""
    case, reply = trip.case, trip.reply
    if reply.status != case.status:
        return [f"status {reply.status}: {reply.body!r}"]
    if len(trip.calls) != case.calls:
        return [f"{len(trip.calls)} calls of the provider"]
    found = _up_faults(trip)
    if case.untouched:
        found += _touched(trip)
    if case.streams and case.status == 200:
        found += _stream_faults(trip)
    if case.back is not None:
        found += faults(trip.back, case.back, "back")
    if case.back_headers is not None:
        found += faults(reply.headers, case.back_headers, "back.headers")
    return found + _receipt_faults(trip)


def _up_faults(trip: Trip) -> list[str]:
    case, found = trip.case, []
    if any(CLIENT_KEY in json.dumps(call.headers) for call in trip.calls):
        found.append("the client's key went up")
    if case.up is not None:
        found += faults(trip.up, case.up, "up")
    if case.up_headers is not None:
        found += faults(trip.calls[0].headers, case.up_headers, "up.headers")
    return found


def _receipt_faults(trip: Trip) -> list[str]:
    case, receipt, found = trip.case, trip.receipt, []
    if receipt.dialect != case.door:
        found.append(f"the receipt's dialect is {receipt.dialect}")
    if case.nusd is not None and receipt.cost_nusd != case.nusd:
        found.append(f"it cost {receipt.cost_nusd}, {case.nusd} is right: {receipt.usage}")
    if case.receipt is not None and not case.receipt(receipt):
        found.append(f"the receipt: {receipt}")
    return found


def _touched(trip: Trip) -> list[str]:
    """What was changed on the way that nobody had to change."""
    case, model = trip.case, trip.case.model
    says = case.says[0] if isinstance(case.says, tuple) else case.says
    there, back = said_by(says), trip.reply.body
    found = []
    if trip.calls[0].body != case.sends.replace(model.encode(), model.partition("/")[2].encode(), 1):
        found.append(f"{case.sends!r} went up as {trip.calls[0].body!r}")
    if case.streams and case.status == 200:
        if events_of(back) != events_of(there):
            found.append(f"{there!r} came back as {back!r}")
    elif back != there:
        found.append(f"{there!r} came back as {back!r}")
    return found


def said_by(says: Exact) -> bytes:
    """The body of a provider's answer, without its framing."""
    head, _, body = b"".join(data for _, data in says.pieces).partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return body
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        found.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return b"".join(found)


def events_of(stream: bytes) -> list[Frame]:
    """The events of a stream but for its pings, of which there may be more."""
    return [one for one in frames(stream) if one.kind != "ping"]


def _stream_faults(trip: Trip) -> list[str]:
    case, stream = trip.case, trip.frames
    if case.door == "messages":
        found = messages_faults(stream)
    else:
        usage = (case.asks.get("stream_options") or {}).get("include_usage") is True
        found = chat_faults(stream, usage=usage)
    if case.breaks is not None and _text_of(stream) != case.breaks:
        found.append(f"the text {_text_of(stream)!r} before the error")
    if (case.breaks is not None) != _is_error(stream[-1]):
        found.append(f"it ends with {stream[-1]}")
    return found


def _is_error(frame: Frame) -> bool:
    return isinstance(frame.data, dict) and bool(frame.data.get("error"))


def _text_of(stream: list[Frame]) -> str:
    found = []
    for frame in stream:
        data = frame.data
        if frame.kind == "content_block_delta":
            found.append(data["delta"].get("text", ""))
        elif isinstance(data, dict):
            found += [choice["delta"].get("content") or "" for choice in data.get("choices") or ()]
    return "".join(found)


def cost(*, fresh: int = 0, read: int = 0, wrote_5m: int = 0, wrote_1h: int = 0, output: int = 0) -> int:
    """What tokens of each class cost, in nano-dollars."""
    return fresh * INPUT + read * READ + wrote_5m * WRITE_5M + wrote_1h * WRITE_1H + output * OUTPUT


def apart(group: str, cases: Mapping[str, Case]) -> dict[str, Case]:
    """The cases of a group that fail: each at a model of its own, for a target that failed is left alone."""
    return {
        f"{group}: {name}": dataclasses.replace(case, model=f"{case.model}-{group}{index}")
        for index, (name, case) in enumerate(cases.items())
    }
