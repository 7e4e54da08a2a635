"""Unicode normal forms in a time that grows with the text's length alone.

Putting combining marks into their order takes, here as in most libraries, the square of the length of a run
of them: 80,000 marks on one letter held the event loop for 13 s. No language has more than a few on one
letter, and the Stream-Safe Text Format (UAX #15, section 13) allows for 30: a text with more in a row is left
as it is.
"""

import re
import unicodedata
from typing import Literal

RUN_MAX = 30

_RUN = re.compile(b"[^\\0]{%d}" % (RUN_MAX + 1))
_SIGNS = {0x0F73: 0x0F72, 0x0F75: 0x0F72, 0x0F81: 0x0F72, 0xFF9E: 0x3099, 0xFF9F: 0x3099}
"""Of class 0 themselves, but they come apart into marks."""


def composed(text: str, form: Literal["NFC", "NFKC", "NFD"] = "NFC") -> str:
    """`text` in a normal form; as it is where it has a run of marks that no writing has. Idempotent."""
    if not text or max(text) < "\u0300":  # no marks
        return unicodedata.normalize(form, text)
    classes = bytes(map(unicodedata.combining, text.translate(_SIGNS)))
    return text if _RUN.search(classes) else unicodedata.normalize(form, text)
