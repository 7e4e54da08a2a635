"""What is done about prompts beside their calls: in order, in pieces, after what is to be sent, and never
more than there is room for."""

from collections.abc import Callable

import pytest

from farthing.models.prompt_cache.backlog import Backlog

Piece = Callable[[], object]


class Steps:
    def __init__(self, name: str, said: list[str], steps: int = 1, *, fails: bool = False) -> None:
        self.name, self.said, self.steps, self.fails = name, said, steps, fails

    def go_on(self) -> bool:
        self.said.append(self.name)
        self.steps -= 1
        if self.fails:
            raise ValueError(self.name)
        return self.steps > 0


def run(waiting: list[Piece]) -> None:
    while waiting:
        waiting.pop(0)()


def test_it_is_done_in_order_a_turn_after_it_was_put_down() -> None:
    waiting: list[Piece] = []
    said: list[str] = []
    backlog = Backlog(waiting.append)
    for name, steps in (("a", 2), ("b", 1), ("c", 3)):
        assert backlog.add(Steps(name, said, steps))
    assert (len(waiting), said) == (1, [])
    waiting.pop(0)()
    assert (len(waiting), said) == (1, []), "what this turn has to send goes first"
    run(waiting)
    assert said == ["a", "a", "b", "c", "c", "c"]
    assert backlog.add(Steps("d", said))
    run(waiting)
    assert said[-1] == "d"


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    waiting: list[Piece] = []
    said: list[str] = []
    backlog = Backlog(waiting.append, works_max=3, bytes_max=100)
    assert backlog.add(Steps("a", said), 60)
    assert not backlog.add(Steps("too large", said), 41)
    assert backlog.add(Steps("b", said), 40) and backlog.add(Steps("c", said))
    assert not backlog.add(Steps("too many", said))
    assert backlog.dropped == 2
    run(waiting)
    assert said == ["a", "b", "c"]
    assert backlog.add(Steps("d", said), 100)


def test_a_fault_in_one_is_told_and_the_others_go_on() -> None:
    waiting: list[Piece] = []
    said: list[str] = []
    backlog = Backlog(waiting.append)
    backlog.add(Steps("bad", said, fails=True), 10)
    backlog.add(Steps("good", said))
    waiting.pop(0)()
    with pytest.raises(ValueError, match="bad"):
        waiting.pop(0)()
    run(waiting)
    assert said == ["bad", "good"]
