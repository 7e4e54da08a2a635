"""Unicode normal forms in time linear in the text's length.

Sorting combining marks takes, here as in most libraries, quadratic time in the length of a run of them:
80,000 marks on one letter blocked the event loop for 13 s. No language has more than a few on one letter, and
the Stream-Safe Text Format (UAX #15, section 13) allows 30: a text with a longer run is left unchanged.
"""

import re
import unicodedata
from typing import Literal

RUN_MAX = 30

_RUN = re.compile(b"[^\\0]{%d}" % (RUN_MAX + 1))
_SIGNS = {0x0F73: 0x0F72, 0x0F75: 0x0F72, 0x0F81: 0x0F72, 0xFF9E: 0x3099, 0xFF9F: 0x3099}
"""Characters of class 0 that decompose into marks."""


def composed(text: str, form: Literal["NFC", "NFKC", "NFD"] = "NFC") -> str:
    """`text` in a normal form; unchanged if it has a run of marks that no writing system has. Idempotent."""
    if not text or max(text) < "\u0300":  # no marks
        return unicodedata.normalize(form, text)
    classes = bytes(map(unicodedata.combining, text.translate(_SIGNS)))
    return text if _RUN.search(classes) else unicodedata.normalize(form, text)
