"""The calls of a streamed chat completion, whose pieces are told apart by index, id and name."""

from collections.abc import Sequence

from farthing.dialects.chat.answers.answer_reader import CALLS_MAX, arguments_of, text_of
from farthing.dialects.events import BadStream
from farthing.text.lenient_json import any_json
from farthing.types import Json

LOOKS_MAX = 8  # at whether the arguments of a call are whole: each reads them all


class StreamedCall:
    """A call that is still coming."""

    __slots__ = ("block", "custom", "id", "looks", "name", "pieces", "place", "stopped")

    def __init__(self, place: int | None) -> None:
        self.place = place
        """Its index, as the server numbers it."""
        self.id = ""
        self.name = ""
        self.custom = False
        self.pieces: list[str] = []
        """Of its arguments, until it has stopped."""
        self.block = -1
        """The number of its block; below 0: nothing but its id and name came yet."""
        self.looks = 0
        self.stopped = False

    def is_whole(self) -> bool:
        """Whether its arguments are an object. An empty one may stand for what is still to come."""
        if not self.pieces or self.custom or self.looks >= LOOKS_MAX:
            return False
        if not self.pieces[-1].rstrip().endswith("}"):
            return False
        self.looks += 1
        value = any_json("".join(self.pieces).encode("utf-8", "surrogatepass"))
        return bool(value) and value.__class__ is dict

    def take(self, piece: Json) -> str:
        """Take in what `piece` says of it, and return the arguments in it."""
        self.id = text_of(piece, "id") or self.id
        name = name_of(piece)
        self.name += name if name != self.name else ""  # in pieces, or again with each of them
        custom = piece.get("custom")
        if custom.__class__ is dict and "function" not in piece:
            self.custom = True
            return text_of(custom, "input")
        return arguments_of(function_of(piece))


class StreamedCalls(list[StreamedCall]):
    """The calls of one answer in the order in which they began. Each piece is looked for by its index."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        super().__init__()
        self._at: dict[int, list[StreamedCall]] = {}

    def add(self, call: StreamedCall) -> None:
        self.append(call)
        if call.place is not None:
            self._at.setdefault(call.place, []).append(call)

    def at(self, place: int) -> Sequence[StreamedCall]:
        """Those of an index, which a server may give twice."""
        return self._at.get(place, ())


def call_of(calls: StreamedCalls, piece: Json) -> StreamedCall:
    """The call that `piece` goes on with, or a new one, which is added: as `completion` tells them apart.

    Raises:
        BadStream: there are too many.
    """
    return known_call(calls, piece) or _another(calls, _place_of(piece))


def known_call(calls: StreamedCalls, piece: Json) -> StreamedCall | None:
    """The call that `piece` goes on with. None: it begins one."""
    place, called, name = _place_of(piece), text_of(piece, "id"), name_of(piece)
    same = calls if place is None else calls.at(place)
    if not same:
        return None
    if called:
        for call in same:
            if call.id == called:
                return call
    last = same[-1]
    if not name:
        return last
    if called and last.id:
        return None
    if place is None or last.pieces or last.stopped:
        again = name == last.name and not (last.stopped or last.is_whole())
        return last if again else None
    return last


def _place_of(piece: Json) -> int | None:
    told = piece.get("index")
    return told if told.__class__ is int else None


def _another(calls: StreamedCalls, place: int | None) -> StreamedCall:
    if len(calls) >= CALLS_MAX:
        raise BadStream(f"more than {CALLS_MAX} calls")
    call = StreamedCall(place)
    calls.add(call)
    return call


def pieces_of(delta: Json) -> list[Json]:
    """The pieces of calls in a delta."""
    told = delta.get("tool_calls")
    if told.__class__ is list and told:
        return [piece for piece in told if piece.__class__ is dict]
    function = delta.get("function_call")
    return [{"index": 0, "function": function}] if function.__class__ is dict else []


def function_of(piece: Json) -> Json:
    for kind in ("function", "custom"):
        found = piece.get(kind)
        if found.__class__ is dict:
            return dict(found)
    return {}


def name_of(piece: Json) -> str:
    return text_of(function_of(piece), "name")
