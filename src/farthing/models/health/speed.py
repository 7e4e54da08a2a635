"""How fast targets answer: time to first token, and output tokens per second. Sans-I/O: the clock is given.

For each target the times of its answers are fitted, with old ones fading, to one line over their lengths:

    time of an answer = time to first token + output tokens / speed

A stream gives two points of that line, its first token and its end; a whole answer gives one, so that where
all answers are whole it takes answers of different lengths to tell the two parts apart. Only answers count,
not errors; a target that said nothing within a deadline counts as one that took longer (`UNSEEN`).
"""

from collections.abc import Callable

from farthing.types import Request, Target

OUTPUT_TOKENS = 400
"""Taken for the length of an endpoint's answers before there were some."""
SAMPLES_MIN = 5
"""Answers before anything is said of a target's speed, or of an endpoint's lengths."""
FADE = 0.1
"""Weight of the newest; the twenty before it make up nearly all of the rest."""
FRESH_S = 300.0
"""What was last seen longer ago says nothing: a target that was too slow is tried again, then."""
UNSEEN = 1.5
"""A target that said nothing for a while is taken to need half as long again: it may be any time more."""
ENDPOINTS_MAX = 1_000


class Speed:
    """The speed of one target. Takes some 100 bytes, and less than a microsecond per answer."""

    __slots__ = ("_at_s", "_x", "_xx", "_xy", "_y", "answers")

    def __init__(self) -> None:
        self.answers = 0
        """Seen since it was last unknown."""
        self._x = self._y = self._xx = self._xy = 0.0  # faded means of tokens, seconds and their products
        self._at_s = 0.0

    def took(self, output_tokens: int, total_s: float, first_s: float | None, now_s: float) -> None:
        """Add one answer: its length in tokens, its duration in seconds and, for a stream, its time to first
        token."""
        if now_s - self._at_s > FRESH_S:
            self.answers = 0
        self._at_s = now_s
        self.answers = n = self.answers + 1
        gain = 1.0 / n if n < 10 else FADE
        x, y = float(output_tokens), total_s
        xx, xy = x * x, x * y
        if first_s is not None and x > 1.0:  # two points in one
            x, y, xx, xy = (x + 1.0) / 2, (y + first_s) / 2, (xx + 1.0) / 2, (xy + first_s) / 2
        self._x += gain * (x - self._x)
        self._y += gain * (y - self._y)
        self._xx += gain * (xx - self._xx)
        self._xy += gain * (xy - self._xy)

    def silent(self, elapsed_s: float, now_s: float) -> None:
        """Nothing had arrived after `elapsed_s` seconds, and the call was given up."""
        took_s = elapsed_s * UNSEEN
        known_s = self.first_token_s
        if known_s is None or known_s <= took_s * 1.1:  # else so short a silence says nothing
            self.took(1, took_s, None, now_s)

    def _line(self) -> tuple[float, float]:
        """Seconds before the first token, and seconds per token; neither is negative."""
        x, y = self._x, self._y
        spread = self._xx - x * x
        if spread <= (0.05 * x) ** 2 + 1e-9:  # lengths that hardly differ do not tell the parts apart
            return (y, 0.0) if x < 2 else (0.0, y / x)
        each_s = max(0.0, (self._xy - x * y) / spread)
        before_s = y - each_s * x
        return (0.0, y / max(x, 1.0)) if before_s < 0 else (before_s, each_s)

    def known(self, now_s: float) -> bool:
        """Whether there were enough answers, the last of them recent."""
        return self.answers >= SAMPLES_MIN and now_s - self._at_s <= FRESH_S

    @property
    def first_token_s(self) -> float | None:
        """Seconds to the first token; None: no answers were seen."""
        if not self.answers:
            return None
        before_s, each_s = self._line()
        return before_s + each_s

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens per second; None: no answers were seen, or tokens take no measurable time."""
        each_s = self._line()[1] if self.answers else 0.0
        return 1.0 / each_s if each_s > 0 else None

    def expected_s(self, output_tokens: float, now_s: float) -> float | None:
        """Seconds until the end of an answer of that length; None: unknown."""
        if not self.known(now_s):
            return None
        before_s, each_s = self._line()
        return before_s + each_s * output_tokens


class Lengths:
    """The average number of output tokens per answer of each endpoint; old answers fade."""

    def __init__(self) -> None:
        self._of: dict[str, list[float]] = {}
        """Endpoint to the number of its answers and their mean length."""

    def note(self, endpoint: str, output_tokens: int) -> None:
        """Add the length of one answer, in tokens."""
        seen = self._of.get(endpoint)
        if seen is None:
            if len(self._of) < ENDPOINTS_MAX:
                self._of[endpoint] = [1.0, float(output_tokens)]
            return
        seen[0] = n = seen[0] + 1.0
        seen[1] += (1.0 / n if n < 10.0 else FADE) * (output_tokens - seen[1])

    def expected(self, request: Request) -> float:
        """The expected output tokens of the answer to `request`, at most its own cap."""
        n, mean = self._of.get(request.endpoint.name, (0.0, 0.0))
        expected = mean if n >= SAMPLES_MIN else float(OUTPUT_TOKENS)
        cap = request.output_tokens_max
        return expected if cap is None else min(expected, cap)


def expectation(
    speed_of: Callable[[str], Speed | None], lengths: Lengths, clock: Callable[[], float]
) -> Callable[[Target, Request], float | None]:
    """A function that estimates how many seconds a target's answer to a request takes; it returns None if
    that is unknown."""

    def expected_s(target: Target, request: Request) -> float | None:
        speed = speed_of(target.name)
        return None if speed is None else speed.expected_s(lengths.expected(request), clock())

    return expected_s
