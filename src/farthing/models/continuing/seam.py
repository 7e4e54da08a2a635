"""Where a continuation meets what the client has. Pure: pieces of text in, what is to be sent out.

A model that goes on by itself begins where the text ends. Three things are set right. Some targets refuse a
beginning that ends in white space: it is sent without, and what they say of it again is not sent twice. Some
repeat all of the beginning before they go on (Mistral). And some models say the last words once more: an
exact repetition is dropped if it is long enough to be no chance and stands nowhere else in the text, as a row
of a table or a refrain might.
"""

OVERLAP_CHARS_MIN = 32
"""What is repeated in fewer characters may well be meant."""
OVERLAP_CHARS_MAX = 512
"""No more than this is held back at the seam, unless it is the whole beginning that is repeated."""


class Seam:
    """The seam of one continuation. What it gives follows what the client has, at once or as soon as it is
    known not to be a repetition: mostly after a few characters."""

    __slots__ = ("_again", "_blank", "_held", "_held_chars", "_open", "_shown", "_starts")

    def __init__(self, delivered: str, blank: str = "", *, echoes: bool = False) -> None:
        """`blank`: the white space at the end of `delivered` that the target was not shown. `echoes`: it
        repeats the whole beginning, perhaps without the white space at its end."""
        shown = delivered[: len(delivered) - len(blank)]
        core = shown.rstrip() if echoes else shown
        self._shown = core
        self._blank = blank
        """What of the white space may still be said again, and next, what may be after a repetition."""
        self._again = delivered[len(core) :]
        size = len(core)
        starts = list(range(max(0, size - OVERLAP_CHARS_MAX), size - OVERLAP_CHARS_MIN + 1))
        if size > OVERLAP_CHARS_MAX or (echoes and 0 < size < OVERLAP_CHARS_MIN):
            starts.insert(0, 0)
        self._starts = starts
        """Where in the text the repetition may begin, of what is held; the longest first."""
        self._held: list[str] = []
        self._held_chars = 0
        self._open = bool(starts)
        """It may still be one."""

    def feed(self, text: str) -> str:
        """What of `text`, and of what was held, goes to the client now."""
        if not self._open or not text:
            return self._after_blank(text)
        self._starts = [start for start in self._starts if self._repeats(text, start + self._held_chars)]
        self._held.append(text)
        self._held_chars += len(text)
        if self._starts and len(self._shown) - self._starts[0] > self._held_chars:  # it is not over
            return ""
        return self.end()

    def end(self) -> str:
        """What was held, without what it repeats: nothing more comes."""
        if not self._open:
            return ""
        self._open = False
        held, shown = "".join(self._held), self._shown
        self._held.clear()
        over = [start for start in self._starts if len(shown) - start <= len(held)]
        repeated = shown[over[0] :] if over else ""
        if repeated and shown.find(repeated) == len(shown) - len(repeated):
            held = held[len(repeated) :]
            self._blank = self._again
        return self._after_blank(held)

    def _repeats(self, text: str, at: int) -> bool:
        """Whether `text` is what stands at `at`, as far as there is something."""
        left = len(self._shown) - at
        return left <= 0 or self._shown.startswith(text[:left], at)

    def _after_blank(self, text: str) -> str:
        blank = self._blank
        if not blank or not text:
            return text
        same = 0
        while same < min(len(blank), len(text)) and blank[same] == text[same]:
            same += 1
        self._blank = blank[same:] if same == len(text) else ""
        return text[same:]
