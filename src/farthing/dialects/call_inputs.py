"""The arguments of calls, which models write as text, as the objects that some dialects want."""

import re
from itertools import accumulate

from farthing.text.lenient_json import NotJson, read_json
from farthing.types import Json

DEPTH_MAX = 200  # of the arguments of a call; more is no call that a tool was made for
VALUES_MAX = 100_000  # in the arguments of all calls together, which the bounds of a body see as texts
_BRACKETS = re.compile(r"[\[\]{}]")
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


class InputReader:
    """Reads the arguments of all calls of one request, as `input_of`. What has more values than are left for
    all calls stays a text, under `INVALID_JSON` too."""

    __slots__ = ("_values_left",)

    def __init__(self) -> None:
        self._values_left = VALUES_MAX

    def read(self, arguments: str) -> Json:
        values = _values_at_most(arguments)
        if values > self._values_left:
            values = _values_at_most(_STRINGS.sub("", arguments))
            if values > self._values_left:
                return {"INVALID_JSON": arguments}
        self._values_left -= values
        return input_of(arguments)


def input_of(arguments: str) -> Json:
    """The input of a call. Arguments that are no JSON object go under `INVALID_JSON`, as the provider's
    documentation wants it, so that the model sees what it wrote."""
    if not arguments or arguments.isspace() or arguments == "null":
        return {}
    if arguments.count("{") + arguments.count("[") <= DEPTH_MAX or not _is_deep(arguments):
        try:
            value = read_json(arguments.encode("utf-8", "surrogatepass"))
        except NotJson:
            value = None
        if value.__class__ is dict:
            return value
    return {"INVALID_JSON": arguments}


def _values_at_most(text: str) -> int:
    """More values a JSON text cannot have: each is the first of its list or object, or follows a comma."""
    return text.count(",") + text.count("[") + text.count("{")


def _is_deep(text: str) -> bool:
    """Whether brackets stand deeper than `DEPTH_MAX`."""
    brackets = _BRACKETS.findall(_STRINGS.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEPTH_MAX
