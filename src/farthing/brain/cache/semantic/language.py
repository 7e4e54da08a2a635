# ruff: noqa: SIM905  (words are read more easily in rows)
"""The language of a question, as far as the semantic cache may rely on it.

The embedder, the verifier and the rules were measured in some languages only, so an unknown language is not
served. The classifier recognises a language by its function words or its script, which short questions lack.
A short question counts as English if nearly all of its words are, by the vocabulary of the bundled embedding
model (30,522 word pieces, over 20,000 of them whole English words).
"""

import re
from pathlib import Path

import msgspec
from msgspec import Struct

from farthing.errors import ConfigError
from farthing.types import UNKNOWN

ENGLISH = "en"
VOCABULARY = Path(__file__).resolve().parents[3] / "data" / "models" / "minilm-l6.tokenizer.json"
SURE = 0.75
"""Share of English words from which a text without a function word is English. Of 93 short questions in 17
other languages, written in ASCII letters, one reaches it."""
ENOUGH = 0.5
"""The same for a text with a function word that only English has: names and typos are not English words."""
READ_CHARS = 2_000

_WORD = re.compile(r"[^\W\d_]+")

_FUNCTION_WORDS = frozenset(
    """what which who whom whose where when why how does did are were been being could would should might must
    the this these those there their they them you your yours she his her its our ours with without from into
    about which because while until than then not and or but if of it is be can has have had my we us i
    between through during before after above below under again any each every both few more most other some
    such only own same too very just please many much""".split()
)
_OTHERS = frozenset(
    """af al ale als ama ao au auf aus aux av bei ben bu ce che chi co com comment como con da dans
    das dat de dei del della delle dem den der des det di dos dove du ein eine el elle em en er es
    est este et eu fra ha hay het ho ich ik il ile im ins ist je kan kim kun la las le les lo los ma
    mas med mein mi mia min mina mir mit mon mu na nas ne non nos och oder og om op os par para pas
    po por pour qu que qui se sen ser si ska su sur ta tack tak te til till tu um un una und une van
    var ve vi von vous wat za zu zur hai kya""".split()
)
"""Function words of other languages that the vocabulary contains; with them, a text needs more English
words."""


class Languages(Struct, frozen=True):
    """Recognises languages; `english` is the set of English words, in lower case."""

    english: frozenset[str]

    def of(self, question: str, classified: str) -> str:
        """The language of `question` as an ISO 639-1 code, or `unknown`.

        `classified` is the classifier's language, which is accepted for languages other than English. English
        must be confirmed by the words of the question.
        """
        if classified not in (ENGLISH, UNKNOWN, ""):
            return classified
        words = [word.lower() for word in _WORD.findall(question[:READ_CHARS])]
        if not words:
            return UNKNOWN
        own = sum(word in _FUNCTION_WORDS for word in words)
        others = sum(word in _OTHERS for word in words)
        known = sum(word in self.english for word in words) - others
        enough = ENOUGH if own > others else SURE
        return ENGLISH if known >= enough * len(words) else UNKNOWN


def load(vocabulary: Path = VOCABULARY) -> Languages:
    """Load the vocabulary, in some 20 ms.

    Raises:
        ConfigError: the vocabulary cannot be read.
    """
    try:
        read = msgspec.json.decode(vocabulary.read_bytes(), type=_Tokenizer)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"the vocabulary {vocabulary} cannot be loaded: {error}") from error
    return Languages(frozenset(word for word in read.model.vocab if word.isascii() and word.isalpha()))


class _Model(Struct):
    vocab: dict[str, int]


class _Tokenizer(Struct):
    model: _Model
