"""Where a continuation meets what the client has. Pure: pieces of text in, what is to be sent out.

A model that goes on by itself begins where the text ends. Two things are set right. Some targets refuse a
beginning that ends in white space: it is sent without, and what they say of it again is not sent twice. And
some models say the last words once more: an exact repetition is dropped if it is long enough to be no chance
and stands nowhere else in the text, as a row of a table or a refrain might.
"""

OVERLAP_CHARS_MIN = 32
"""What is repeated in fewer characters may well be meant."""
OVERLAP_CHARS_MAX = 512
"""No more than this is held back at the seam."""


class Seam:
    """The seam of one continuation. What it gives follows what the client has, at once or as soon as it is
    known not to be a repetition: mostly after a few characters."""

    __slots__ = ("_blank", "_delivered", "_held", "_open", "_starts", "_tail")

    def __init__(self, delivered: str, blank: str = "") -> None:
        """`blank`: the white space at the end of `delivered` that the target was not shown."""
        shown = delivered[: len(delivered) - len(blank)]
        self._delivered = shown
        self._blank = blank
        """What of it may still be said again."""
        self._tail = shown[-OVERLAP_CHARS_MAX:]
        self._starts = range(max(0, len(self._tail) - OVERLAP_CHARS_MIN + 1))
        """Where in the tail the repetition may begin, of what is held."""
        self._held = ""
        self._open = bool(self._starts)
        """It may still be one."""

    def feed(self, text: str) -> str:
        """What of `text`, and of what was held, goes to the client now."""
        if not self._open:
            return self._after_blank(text)
        held = self._held = self._held + text
        tail, size = self._tail, len(held)
        left = [start for start in self._starts if tail.startswith(held[: len(tail) - start], start)]
        self._starts = left  # type: ignore[assignment]
        if left and len(tail) - left[0] > size:  # the longest is not over
            return ""
        return self.end()

    def end(self) -> str:
        """What was held, without what it repeats: nothing more comes."""
        held, self._held = self._held, ""
        if not self._open:
            return ""
        self._open = False
        over = [start for start in self._starts if len(self._tail) - start <= len(held)]
        repeated = self._tail[over[0] :] if over else ""
        if repeated and self._delivered.find(repeated) == len(self._delivered) - len(repeated):
            held = held[len(repeated) :]
        return self._after_blank(held)

    def _after_blank(self, text: str) -> str:
        blank = self._blank
        if not blank or not text:
            return text
        same = 0
        while same < min(len(blank), len(text)) and blank[same] == text[same]:
            same += 1
        self._blank = blank[same:] if same == len(text) else ""
        return text[same:]
