"""What the writers of turns have in common: nothing comes between a call and its result, and turns of one
role in a row are one message."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from farthing.dialects.call_ids import CallIds
from farthing.dialects.conversation import Turn
from farthing.types import Json


class TurnsInOrder(ABC):
    """Writes the turns of one conversation in order, each as the methods at the end do."""

    __slots__ = ("_held", "_messages", "_open")

    CONTENT: ClassVar[str] = "content"
    """What the dialect calls the list of all that a message holds."""

    def __init__(self) -> None:
        self._messages: list[Json] = []
        self._open: set[str] = set()
        """Calls of the last answer that have no result yet: nothing may come between."""
        self._held: list[Turn] = []

    def _write(self, turns: Iterable[Turn]) -> None:
        """Write all turns. An instruction that stands between a call and its result comes behind that."""
        for turn in turns:
            if turn.role == "user":
                self._user(turn)
                if self._held and not self._open:
                    self._release()
            elif turn.role == "assistant":
                self._release()
                self._assistant(turn)
            elif self._open:
                self._held.append(turn)
            else:
                self._instruct(turn)
        self._release()

    def _release(self) -> None:
        """Write the instructions that stood between a call and its result."""
        self._open.clear()
        for turn in self._held:
            self._instruct(turn)
        self._held.clear()

    def _into(self, role: str) -> list[Json]:
        """What the last message holds, if that is of this role, else a new one."""
        messages = self._messages
        if messages and messages[-1]["role"] == role:
            content: list[Json] = messages[-1][self.CONTENT]
        else:
            content = []
            messages.append({"role": role, self.CONTENT: content})
        return content

    # what a dialect does in its own way

    @abstractmethod
    def _user(self, turn: Turn) -> None:
        """Write what a user said and tools gave; the calls that have a result then are no longer open."""

    @abstractmethod
    def _assistant(self, turn: Turn) -> None:
        """Write an answer; the calls in it are open."""

    @abstractmethod
    def _instruct(self, turn: Turn) -> None:
        """Write an instruction in its place: at the head it would change the prefix of each later request."""


class TurnsByCallId(TurnsInOrder):
    """As `TurnsInOrder`, where a result names its call by an id: the results of the calls of one turn stand
    together, first in their message, in the order of the calls."""

    __slots__ = ("_ids", "_mixed")

    def __init__(self) -> None:
        super().__init__()
        self._ids = CallIds()
        self._mixed: list[list[Json]] = []
        """Contents whose results are still to be put in order."""

    def _write(self, turns: Iterable[Turn]) -> None:
        super()._write(turns)
        for content in self._mixed:
            content.sort(key=self._place)

    def _put(self, results: list[Json], others: list[Json]) -> None:
        """Have a user say `others` behind `results`. At least one of the two holds something."""
        content = self._into("user")
        if results and (content or len(results) > 1) and not (self._mixed and self._mixed[-1] is content):
            self._mixed.append(content)
        content += results
        content += others

    def _place(self, block: Json) -> int:
        call_id = self._answered(block)
        return self._ids.count + 1 if call_id is None else self._ids.place(call_id)

    @abstractmethod
    def _answered(self, block: Json) -> str | None:
        """The id of the call that `block` is the result of; None: it is no result."""
