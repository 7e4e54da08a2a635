"""Classify by a linear model over hashed words and the rules' findings.

The model is small enough for exact integers in plain Python: the weights of all tasks for one feature are the
16-bit lanes of one long integer, so that adding up a request's features is one `sum` in C. No numpy. Trained
by `tools/train_classifier` and evaluated by `benchmarks/classifier.py`, which leaves whole sources out.
Domain, risk and language come from the rules.
"""

import json
import struct
from array import array
from collections.abc import Callable
from math import exp, sqrt
from pathlib import Path
from typing import Any
from zlib import crc32

from farthing.brain.classify.rules import (
    RISKY_DOMAINS,
    TASK_COMPLEXITY,
    RulesClassifier,
    domain_said,
    quarter_of_chars,
)
from farthing.brain.classify.signs import Seen, offers_tools, see, system_prompt
from farthing.errors import ConfigError
from farthing.types import UNKNOWN, Request, Traits, replace

WEIGHTS = Path(__file__).parents[2] / "data" / "models" / "task-linear.bin"
FORMAT = "farthing-task-linear/1"
LANES = 16
_ROW_BYTES = 2 * LANES
_UNSIGNED = sum(128 << 16 * lane for lane in range(LANES))
_MIDDLE = sum(32_768 << 16 * lane for lane in range(LANES))
_UNPACK = struct.Struct(f"<{LANES}H").unpack


class LinearClassifier:
    """Describes requests by rules and, for the task, by trained weights.

    The task is `unknown` if the model knows none of the words or is not confident enough; complexity is then
    that of a difficult request. `estimate_tokens` as for `RulesClassifier`.

    Raises:
        ConfigError: the weights are missing or damaged.
    """

    def __init__(
        self,
        estimate_tokens: Callable[[str, int], int] = quarter_of_chars,
        *,
        weights: Path = WEIGHTS,
    ) -> None:
        self._rules = RulesClassifier(estimate_tokens)
        head, self._rows = _load(weights)
        self._known = frozenset(self._rows)
        self._tasks: tuple[str, ...] = tuple(head["tasks"])
        self._complexity = [TASK_COMPLEXITY[task] for task in self._tasks]
        scale: float = head["scale"]
        self._scales = (scale, *(scale * gain for gain in head["gains"]))
        self._least: float = head["unknown_below"]
        self._agent = self._tasks.index("agent_step")
        self._for_tools: float = head["for_tools"]

    async def classify(self, request: Request) -> Traits:
        return self.describe(request)

    def describe(self, request: Request) -> Traits:
        """The traits of `request`. Pure; never raises on any text."""
        traits = self._rules.describe(request)
        if request.task_type or request.endpoint.task or traits.task == "agent_step":
            return traits  # the task was given; or the last message is a tool's
        seen = see(request, traits)
        shares = self.shares(seen, tools=offers_tools(request.body))
        complexity = sum(map(_product, shares, self._complexity))
        best = max(shares)
        any_known = not (self._known.isdisjoint(seen.words) and self._known.isdisjoint(seen.system))
        task = self._tasks[shares.index(best)] if any_known and best >= self._least else UNKNOWN
        if task == UNKNOWN:
            complexity = max(complexity, TASK_COMPLEXITY["other"])
        complexity += traits.complexity - TASK_COMPLEXITY.get(traits.task, 0.6)
        changed: Traits = replace(
            traits, task=task, complexity=min(max(complexity, 0.0), 1.0), **_care(traits, request)
        )
        return changed

    def shares(self, seen: Seen, *, tools: bool = False) -> list[float]:
        """The probability of each task, in the order of `tasks`; they add up to one. `tools`: the request
        offers tools, which suggests a step of an agent."""
        scores = [0.0] * LANES
        for group, scale in zip(seen, self._scales, strict=True):
            found = self._known.intersection(group)
            if not found:
                continue
            factor = scale if group is seen.signs else scale / sqrt(len(group))
            total = sum(map(self._rows.__getitem__, found)) + _MIDDLE
            lanes = _UNPACK(total.to_bytes(_ROW_BYTES, "little"))
            # Each lane is 32,768 too high, for all tasks alike, which changes no share.
            scores = [score + factor * lane for score, lane in zip(scores, lanes, strict=True)]
        scores = scores[: len(self._tasks)]
        if tools:
            scores[self._agent] += self._for_tools
        top = max(scores)
        raised = [exp(score - top) for score in scores]
        whole = sum(raised)
        return [share / whole for share in raised]

    @property
    def tasks(self) -> tuple[str, ...]:
        return self._tasks


def _product(a: float, b: float) -> float:
    return a * b


def _care(traits: Traits, request: Request) -> dict[str, str]:
    """Domain and risk of the system prompt, if the user's own words name none."""
    if traits.domain != UNKNOWN:
        return {}
    text = system_prompt(request.body)
    domain = domain_said(text) if text else UNKNOWN
    if domain == UNKNOWN:
        return {}
    return {"domain": domain, "risk": domain} if domain in RISKY_DOMAINS else {"domain": domain}


def pack(head: dict[str, Any], keys: "array[int]", weights: bytes) -> bytes:
    """The format of a model file: a line of JSON, the features' hashes, and for each `LANES` weights +
    128."""
    body = keys.tobytes() + weights
    line = json.dumps({**head, "format": FORMAT, "rows": len(keys), "crc32": crc32(body)})
    return line.encode() + b"\n" + body


def _load(path: Path) -> tuple[dict[str, Any], dict[int, int]]:
    try:
        line, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(line)
        if head["format"] != FORMAT or head["crc32"] != crc32(body):
            raise ValueError("its checksum is wrong")
        count: int = head["rows"]
        if len(body) != count * (4 + LANES):
            raise ValueError("its length is wrong")
        keys = struct.unpack(f"<{count}I", body[: 4 * count])
        wide = bytearray(count * _ROW_BYTES)
        wide[::2] = body[4 * count :]
        starts = range(0, len(wide), _ROW_BYTES)
        rows = [int.from_bytes(wide[at : at + _ROW_BYTES], "little") for at in starts]
        if not {"scale", "unknown_below", "for_tools"} <= head.keys() or len(head["gains"]) != 3:
            raise ValueError("its first line is not whole")
        if len(head["tasks"]) > LANES or "agent_step" not in head["tasks"]:
            raise ValueError("its tasks are not ours")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"the classifier's weights {path} cannot be used: {error}") from error
    return head, {key: row - _UNSIGNED for key, row in zip(keys, rows, strict=True)}
