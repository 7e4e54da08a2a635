"""What the demo asks, and when: real questions at the pace of a real trace. Pure and seeded.

The questions are BANKING77's, the times between them and the lengths of contexts and answers are those of
Azure's trace of LLM conversations (see farthing/data/BANKING77.md). No public trace has both, and none
has tenants or repeats: who asks, what is asked again and in which spelling is drawn here.
"""

import math
import random
from collections.abc import Callable
from functools import lru_cache
from importlib import resources

import msgspec
from msgspec import Struct

ENDPOINT = "support-faq"
TENANTS = ("consumer", "corporate")
"""The second has the plan `enterprise`."""
GENERATED_TOKENS_MAX = 240
CONTEXT_TOKENS_MAX = 1_200
SEED = 960

SYSTEM = "You are the support assistant of a bank. Answer briefly and in plain words."

SHARE_EXACT = 0.22  # asked before, byte for byte
SHARE_NEAR = 0.08  # asked before, in another spelling
SHARE_PHRASED = 0.06  # one of the questions that the configuration knows by heart
SHARE_CARE = 0.02  # of new questions: those on legal matters and prices, which are rare among the rest
SHARE_CONTEXT = 0.10  # of new questions: sent with long passages
SHARE_CORPORATE = 0.06  # of new questions
SHARE_AUTO = 0.3  # of new questions: sent to `auto`, the others to the endpoint
SHARE_STREAM = 0.5

CARE_WORDS = ("discount", "landlord")

# Questions that mean the same, as BANKING77 has them. Their answers are shared under one cache key …
CACHE_KEYS = {
    "faq:refund_policy": (
        "What is the refund policy?",
        "Can you explain your refund policy, please?",
        "What is the refund process?",
        "Do you give refunds?",
    ),
    "faq:change_pin": (
        "How do I change the PIN?",
        "Can you tell me how to change my PIN?",
        "What is the process to change my PIN?",
        "I want to change my PIN.",
        "Is it possible to change my PIN?",
    ),
}
# … and these need no model at all.
FIXED = {
    "age-limit": (
        "You can open an account from the age of 18. Parents can open one for a child from the age of 7.",
        (
            "What is your age limit?",
            "What age do you have to be?",
            "Is there an age limit for opening an account?",
            "What is minimum age for an account?",
            "At what age can I open an account?",
            "Do you guys have any age restrictions?",
        ),
    ),
    "countries": (
        "Accounts are open to residents of the United Kingdom and the European Economic Area. "
        "The card itself works wherever Visa and Mastercard are taken.",
        (
            "Supported countries",
            "Which countries are you in?",
            "What countries do your services support?",
            "Please list the countries you support.",
            "Which countries do you currently support?",
        ),
    ),
}

PASSAGES = (
    "Transfers. A transfer inside the bank is booked at once. A transfer to another bank is sent on the same "
    "working day when it is entered before 16:00, and arrives on the next working day. Transfers abroad take "
    "up to four working days. A transfer can be cancelled in the app while it is shown as pending.",
    "Cards. A new card is sent by post and arrives within five working days; express delivery takes two. It "
    "is activated in the app. A lost card is frozen in the app and can be unfrozen when it is found again. A "
    "stolen card must be cancelled; the replacement has a new number.",
    "Cash. Cash can be drawn at any machine that shows the sign of the card. The machine's owner may charge "
    "for it and has to say so before the cash is paid out. A machine that keeps the card reports it to us.",
    "Top-ups. An account is topped up by transfer, by card or by cheque. Top-ups by card are shown at once, "
    "those by transfer after one working day, and cheques after they have cleared.",
    "Identity. The law asks us to know who our customers are. A passport, an identity card or a driving "
    "licence is photographed in the app; most checks are done within an hour.",
    "Currencies. An account holds up to thirty currencies. Money is exchanged in the app at the rate shown "
    "there; payments by card in another currency use the rate of the card scheme on the day of booking.",
)


class Question(Struct, frozen=True):
    category: str
    text: str


class Arrival(Struct, frozen=True):
    offset_ms: int
    context_tokens: int
    generated_tokens: int


class Subject(Struct, frozen=True, kw_only=True):
    """What may be asked more than once: everything of a request but how it is delivered."""

    text: str
    model: str
    tenant: str
    system: str


class Ask(Struct, frozen=True, kw_only=True):
    """One request of the demo."""

    at_s: float
    """Since the first."""
    subject: Subject
    text: str
    """As it is spelt this time."""
    stream: bool

    def body(self) -> bytes:
        """The JSON of `POST /v1/chat/completions`."""
        body = {
            "model": self.subject.model,
            "messages": [
                {"role": "system", "content": self.subject.system},
                {"role": "user", "content": self.text},
            ],
            "max_completion_tokens": 2 * GENERATED_TOKENS_MAX,
            "stream": self.stream,
        }
        if self.stream:
            body["stream_options"] = {"include_usage": True}
        return msgspec.json.encode(body)


def _lines(name: str) -> list[str]:
    return (resources.files("farthing") / "data" / name).read_text("utf-8").splitlines()


@lru_cache(maxsize=1)
def questions() -> tuple[Question, ...]:
    """The questions shipped, in the order of their source."""
    return tuple(Question(*line.split("\t", 1)) for line in _lines("banking77.tsv"))


@lru_cache(maxsize=1)
def arrivals() -> tuple[Arrival, ...]:
    """The arrivals shipped, by time."""
    return tuple(Arrival(*map(int, line.split(","))) for line in _lines("azure_conv.csv")[1:])


def span_s(count: int) -> float:
    """How long the trace took for `count` requests."""
    return _offset_s(count - 1)


def _offset_s(index: int) -> float:
    """When request `index` of the trace came; after its end it begins anew."""
    trace = arrivals()
    rounds, place = divmod(index, len(trace))
    return (rounds * trace[-1].offset_ms + trace[place].offset_ms) / 1000


def plan(count: int, *, speed: float, seed: int = SEED) -> list[Ask]:
    """`count` requests at `speed` times the pace of the trace. Equal arguments, equal requests."""
    draw = random.Random(seed)
    fresh = _endless(draw, [q for q in questions() if not _known_by_heart(q.text)])
    care = _endless(draw, [q for q in questions() if any(word in q.text for word in CARE_WORDS)])
    phrased = [phrase for phrases in CACHE_KEYS.values() for phrase in phrases]
    phrased += [phrase for _, phrases in FIXED.values() for phrase in phrases]
    asked: list[Subject] = []
    asks: list[Ask] = []
    for index in range(count):
        chance = draw.random()
        text: str | None = None
        if asked and chance < SHARE_EXACT:
            subject = _popular(draw, asked)
        elif asked and chance < SHARE_EXACT + SHARE_NEAR:
            subject = _popular(draw, asked)
            text = _respelt(draw, subject.text)
        elif chance > 1 - SHARE_PHRASED:
            subject = _at_endpoint(draw.choice(phrased))
        else:
            question = care() if draw.random() < SHARE_CARE else fresh()
            subject = _new(draw, question, arrivals()[index % len(arrivals())])
            asked.append(subject)
        stream = draw.random() < SHARE_STREAM
        at_s = _offset_s(index) / speed
        asks.append(Ask(at_s=at_s, subject=subject, text=text or subject.text, stream=stream))
    return asks


def _known_by_heart(text: str) -> bool:
    return any(text in phrases for phrases in CACHE_KEYS.values()) or any(
        text in phrases for _, phrases in FIXED.values()
    )


def _endless(draw: random.Random, among: list[Question]) -> Callable[[], Question]:
    """Each question once in a drawn order, then all of them again."""
    left: list[Question] = []

    def following() -> Question:
        if not left:
            left.extend(draw.sample(among, len(among)))
        return left.pop()

    return following


def _popular(draw: random.Random, asked: list[Subject]) -> Subject:
    """An earlier subject: the logarithm of its rank is uniform, which is Zipf's law with exponent 1."""
    return asked[int(math.exp(draw.random() * math.log(len(asked) + 1))) - 1]


def _at_endpoint(text: str) -> Subject:
    return Subject(text=text, model=f"farthing/{ENDPOINT}", tenant=TENANTS[0], system=SYSTEM)


def _new(draw: random.Random, question: Question, arrival: Arrival) -> Subject:
    tenant = TENANTS[1] if draw.random() < SHARE_CORPORATE else TENANTS[0]
    model = "auto" if draw.random() < SHARE_AUTO else f"farthing/{ENDPOINT}"
    system = SYSTEM
    if draw.random() < SHARE_CONTEXT:
        system = _with_passages(draw, min(arrival.context_tokens, CONTEXT_TOKENS_MAX))
    return Subject(text=question.text, model=model, tenant=tenant, system=system)


def _with_passages(draw: random.Random, tokens: int) -> str:
    """Instructions and passages of at least `tokens` tokens at four characters each."""
    parts = [SYSTEM, "Use these passages:"]
    while sum(map(len, parts)) < 4 * tokens:
        parts.append(f"[{len(parts) - 1}] {draw.choice(PASSAGES)}")
    return "\n\n".join(parts)


def _respelt(draw: random.Random, text: str) -> str:
    """The same question in other letter case, white space or closing punctuation."""
    bare = text.rstrip(" .?!")
    spellings = (
        text.lower(),
        text.upper(),
        bare,
        f"{bare}??",
        f"{bare} ?",
        f"  {text}",
        text.replace(" ", "  ", 1),
        f"{bare.lower()}!",
    )
    return draw.choice([spelling for spelling in spellings if spelling != text])
