"""JSON held against a sketch of it: of an object only what the sketch names is looked at, lists are of one
length, and a function in the sketch says itself whether a value will do."""

import json
import re
from collections.abc import Callable
from typing import Any, Final

Holds = Callable[[Any], bool]


class _Gone:
    def __repr__(self) -> str:
        return "nothing"


GONE: Final = _Gone()
"""In a sketch: the name is not there, or is null."""


def faults(got: Any, sketch: Any, where: str = "$") -> list[str]:
    """Where `got` is not what `sketch` wants; empty: it is."""
    if sketch is GONE:
        return [] if got is None or got is GONE else [f"{where}: nothing was wanted, there is {_short(got)}"]
    if callable(sketch):
        return [] if sketch(got) else [f"{where}: {sketch.__doc__ or sketch} does not hold for {_short(got)}"]
    if isinstance(sketch, dict):
        if not isinstance(got, dict):
            return [f"{where}: an object was wanted, there is {_short(got)}"]
        found = (faults(got.get(name, GONE), want, f"{where}.{name}") for name, want in sketch.items())
        return [fault for each in found for fault in each]
    if isinstance(sketch, list):
        if not isinstance(got, list) or len(got) != len(sketch):
            return [f"{where}: {len(sketch)} entries were wanted, there is {_short(got)}"]
        pairs = enumerate(zip(got, sketch, strict=True))
        return [fault for index, (one, want) in pairs for fault in faults(one, want, f"{where}[{index}]")]
    equal = type(got) is type(sketch) and got == sketch
    return [] if equal else [f"{where}: {sketch!r} was wanted, there is {_short(got)}"]


def exactly(value: Any) -> Holds:
    """All of a value, and nothing else."""

    def holds(got: Any) -> bool:
        return got is not GONE and json.dumps(got) == json.dumps(value)

    return _named(holds, f"exactly {_short(value)}")


def one_of(*values: Any) -> Holds:
    return _named(lambda got: any(not faults(got, value) for value in values), f"one of {values}")


def holding(*texts: str) -> Holds:
    """The texts stand somewhere in it, in this order."""
    pattern = ".*?".join(map(re.escape, texts))

    def holds(got: Any) -> bool:
        told = got if isinstance(got, str) else "" if got is GONE else json.dumps(got, ensure_ascii=False)
        return re.search(pattern, told, re.DOTALL) is not None

    return _named(holds, f"holding {texts}")


def free_of(*texts: str) -> Holds:
    """None of the texts stands anywhere in it."""

    def holds(got: Any) -> bool:
        return not any(text in json.dumps(got, ensure_ascii=False) for text in texts)

    return _named(holds, f"free of {texts}")


def like(pattern: str) -> Holds:
    return _named(
        lambda got: isinstance(got, str) and re.fullmatch(pattern, got) is not None, f"like {pattern}"
    )


def json_of(value: Any) -> Holds:
    """A text that is this value as JSON."""
    return _named(lambda got: isinstance(got, str) and json.loads(got) == value, f"the JSON of {value}")


def text_of(text: str) -> Holds:
    """This text, alone or as parts."""

    def holds(got: Any) -> bool:
        return got == text or (isinstance(got, list) and "".join(part["text"] for part in got) == text)

    return _named(holds, f"the text {text!r}")


def kinds(*names: str) -> Holds:
    """Blocks, parts or messages of these types or roles, in this order."""

    def holds(got: Any) -> bool:
        return isinstance(got, list) and [one.get("type", one.get("role")) for one in got] == list(names)

    return _named(holds, f"of the kinds {names}")


def among(lowest: int, highest: int) -> Holds:
    return _named(
        lambda got: type(got) is int and lowest <= got <= highest, f"between {lowest} and {highest}"
    )


def some(kind: type) -> Holds:
    return _named(lambda got: type(got) is kind, f"some {kind.__name__}")


def _named(holds: Holds, words: str) -> Holds:
    holds.__doc__ = words
    return holds


def _short(value: Any) -> str:
    return repr(value)[:300]
