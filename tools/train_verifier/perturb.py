# ruff: noqa: E501, SIM905 -- tables are read by row
"""Rewritings that keep the answer, and small changes that alter it, for any English text.

`keep` changes the surface only (case, politeness, contractions, number format, a typo). `alter` changes
one thing the answer hangs on (a number, a unit, a name, an antonym, a negation, a direction) and says which.
"""

import random
import re
from collections.abc import Callable

ANTONYMS = """with/without allow/deny enable/disable more/less most/least before/after open/close
increase/decrease accept/reject buy/sell add/remove include/exclude up/down in/out on/off start/stop
activate/deactivate install/uninstall lock/unlock block/unblock upgrade/downgrade import/export
upload/download send/receive deposit/withdraw lend/borrow credit/debit always/never all/none best/worst
good/bad safe/dangerous legal/illegal possible/impossible cheap/expensive fast/slow high/low big/small
large/small long/short old/new old/young hot/cold warm/cool early/late first/last minimum/maximum
min/max above/below over/under inside/outside left/right north/south east/west male/female man/woman
boy/girl husband/wife mother/father brother/sister positive/negative true/false pass/fail win/lose
gain/lose rich/poor healthy/unhealthy hard/easy difficult/easy push/pull arrival/departure
arrive/depart cause/prevent love/hate like/dislike advantages/disadvantages pros/cons benefits/risks
public/private internal/external personal/business morning/evening day/night summer/winter
encrypt/decrypt compress/decompress connect/disconnect subscribe/unsubscribe follow/unfollow
sitting/standing walking/running sleeping/awake empty/full wet/dry clean/dirty loud/quiet
ascending/descending vertical/horizontal import/export input/output local/remote permanent/temporary
weekday/weekend employer/employee teacher/student doctor/patient buyer/seller landlord/tenant
paid/free online/offline used/new raw/cooked front/back top/bottom heavy/light strong/weak
indoor/outdoor domestic/international incoming/outgoing refund/charge singular/plural"""
OPPOSITE: dict[str, str] = {}
for _pair in ANTONYMS.split():
    _one, _two = _pair.split("/")
    OPPOSITE.setdefault(_one, _two)
    OPPOSITE.setdefault(_two, _one)

SYNONYMS = """buy/purchase get/obtain help/assist begin/start big/large quick/fast mistake/error
phone/mobile picture/photo movie/film car/automobile kid/child kids/children doctor/physician
job/position smart/intelligent fix/repair choose/pick right/correct wrong/incorrect need/require
maybe/perhaps often/frequently also/too vacation/holiday apartment/flat store/shop trash/rubbish
cellphone/mobile laptop/notebook bill/invoice fee/charge email/e-mail TV/television ad/advertisement
show/display tell/inform ask/enquire couch/sofa rich/wealthy happy/glad sick/ill end/finish
issue/problem trip/journey money/cash reply/answer error/fault"""
SAME: dict[str, list[str]] = {}
for _pair in SYNONYMS.split():
    _one, _two = _pair.split("/")
    SAME.setdefault(_one, []).append(_two)
    SAME.setdefault(_two, []).append(_one)

DIGITS = "zero one two three four five six seven eight nine ten eleven twelve".split()
SHORT = {
    "what is": "what's",
    "how do i": "how do i",
    "i am": "i'm",
    "do not": "don't",
    "does not": "doesn't",
    "can not": "can't",
    "cannot": "can't",
    "is not": "isn't",
    "i have": "i've",
    "i would": "i'd",
    "did not": "didn't",
    "will not": "won't",
    "it is": "it's",
    "there is": "there's",
    "you are": "you're",
}
POLITE = ["Please, ", "Hi, ", "Hello. ", "Hey, ", "Quick question: ", "I have a question. ", "Just wondering, ",
          "Could you tell me: ", "I'd like to know: ", "Can anyone tell me, ", "Sorry to bother you. "]  # fmt: skip
AFTER = [" please", " Thanks!", " Thank you.", " Thanks in advance", " asap", " please help"]
COUNTRIES = """India China Japan Germany France Italy Spain Brazil Canada Mexico Australia Russia Turkey Egypt
Nigeria Kenya Poland Sweden Norway Denmark Portugal Greece Ireland Thailand Vietnam Singapore""".split()
CITIES = """London Paris Berlin Madrid Rome Vienna Prague Dublin Boston Chicago Seattle Miami Austin Denver
Houston Dallas Atlanta Tokyo Osaka Seoul Delhi Mumbai Chennai Dubai Cairo Lagos Sydney Toronto""".split()
NAMES = """Anna Ben Carla David Emma Frank Grace Henry Irene Jack Karen Leo Maria Nick Olivia Paul Rachel Sam
Tina Victor Wendy Mary John Peter Susan James Linda Robert Sarah Thomas""".split()
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
CURRENCIES = ["USD", "EUR", "GBP", "JPY", "CHF", "INR", "AUD"]
CURRENCY_WORDS = ["dollars", "euros", "pounds", "yen", "rupees"]
UNITS = ["km", "miles", "metres", "feet", "inches", "cm", "kg", "pounds", "grams", "ounces", "litres", "gallons",
         "minutes", "hours", "days", "weeks", "months", "years"]  # fmt: skip
FAMILIES = [COUNTRIES, CITIES, NAMES, MONTHS, DAYS, CURRENCIES, CURRENCY_WORDS, UNITS]
FAMILY = {word.lower(): family for family in FAMILIES for word in family if word not in ("May", "pounds")}


def _recase(new: str, old: str) -> str:
    return new[0].upper() + new[1:] if old[:1].isupper() else new


def _swap_word(text: str, find: Callable[[str], str | None], rng: random.Random) -> str | None:
    """Replace one word that `find` knows another for; None when it knows none."""
    spots = [(m, new) for m in re.finditer(r"[A-Za-z']+", text) if (new := find(m.group()))]
    if not spots:
        return None
    m, new = rng.choice(spots)
    return text[: m.start()] + _recase(new, m.group()) + text[m.end() :]


def number(text: str, rng: random.Random) -> str | None:
    spots = list(re.finditer(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", text))
    if not spots:
        words = [m for m in re.finditer(r"\b[a-z]+\b", text) if m.group() in DIGITS[2:]]
        if not words:
            return None
        m = rng.choice(words)
        return text[: m.start()] + rng.choice([d for d in DIGITS[2:] if d != m.group()]) + text[m.end() :]
    m = rng.choice(spots)
    old = m.group()
    digits = old.replace(",", "")
    value = float(digits)
    new = rng.choice([value + 1, value - 1, value * 10, value + 2, value * 2, value + 5, round(value / 2)])
    new = abs(new) if new != value and new >= 0 else value + 3
    shown = f"{new:g}" if "." in digits and new < 1e5 else str(int(new))
    if shown == digits:
        shown = str(int(value) + 3)
    return text[: m.start()] + shown + text[m.end() :]


def named(text: str, rng: random.Random) -> str | None:
    def find(word: str) -> str | None:
        family = FAMILY.get(word.lower())
        return rng.choice([other for other in family if other.lower() != word.lower()]) if family else None

    return _swap_word(text, find, rng)


def antonym(text: str, rng: random.Random) -> str | None:
    def find(word: str) -> str | None:
        if word.lower() in ("in", "on", "up", "out", "over", "like", "right", "back", "light", "long"):
            return None
        return OPPOSITE.get(word.lower())

    return _swap_word(text, find, rng)


NEGATE = [
    (r"\b(can|should|could|would|will|must|does|did|do|is|are|was|were|has|have) (i|you|we|he|she|it|they|my|the|this)\b",
     r"\1n't \2"),
    (r"\b(is|are|was|were|does|did|do|should|could|would|has|have)\b(?! not|n't)", r"\1 not"),
    (r"\b(can|will)\b(?! not)", r"\1 not"),
    (r"\bto (?=[a-z]{3,})", "not to "),
    (r"\bA (man|woman|boy|girl|dog|cat|person|child)\b", r"No \1"),
]  # fmt: skip


def negation(text: str, rng: random.Random) -> str | None:
    rules = NEGATE[:3] if rng.random() < 0.8 else NEGATE[3:]
    for pattern, new in rules:
        changed, count = re.subn(pattern, new, text, count=1)
        if count:
            return changed.replace("cann't", "can't").replace("willn't", "won't").replace("can not", "cannot")
    return None


def direction(text: str, rng: random.Random) -> str | None:
    m = re.search(
        r"\bfrom ((?:my |the |an? )?[\w.'-]+(?: account)?) (?:to|into) ((?:my |the |an? )?[\w.'-]+)", text
    )
    if not m:
        return None
    return text[: m.start(1)] + m.group(2) + text[m.end(1) : m.start(2)] + m.group(1) + text[m.end(2) :]


ASKING = [
    (r"^how (do|can|should) i ", ["why should i ", "when can i ", "who can ", "should i ", "where can i "]),
    (r"^why ", ["how ", "when "]),
    (r"^when ", ["where ", "how ", "why "]),
    (r"^where ", ["when ", "how ", "why "]),
    (r"^who ", ["when ", "why "]),
    (r"^how much ", ["how long ", "how often "]),
    (r"^how long ", ["how much ", "how often "]),
    (r"^how many ", ["which "]),
]


def asking(text: str, rng: random.Random) -> str | None:
    for pattern, news in ASKING:
        changed, count = re.subn(pattern, rng.choice(news), text, count=1, flags=re.I)
        if count:
            return _recase(changed, text)
    return None


def extra(text: str, rng: random.Random) -> str | None:
    """Narrow the question: with a condition it did not have."""
    tail = rng.choice([
        "if I am under 18", "on a weekend", "without a passport", "for my business", "from another country",
        "in cash", "after the deadline", "for free", "for my wife", "without internet", "on an old phone",
        "more than once", "twice a day", "for a child", "if it was stolen", "with a joint account",
        "when I am abroad", "without telling anyone", "by phone", "for two people"])  # fmt: skip
    body = text.rstrip("?.! ")
    return f"{body} {tail}{'?' if text.endswith('?') else ''}"


ALTER: dict[str, Callable[[str, random.Random], str | None]] = {
    "number": number,
    "named": named,
    "antonym": antonym,
    "negation": negation,
    "direction": direction,
    "asking": asking,
    "extra": extra,
}


def alter(text: str, rng: random.Random) -> tuple[str, str] | None:
    """Another question, one step away, and what was changed; None when nothing could be."""
    kinds = list(ALTER)
    rng.shuffle(kinds)
    kinds.sort(key=lambda kind: kind in ("extra", "negation", "asking"))
    if rng.random() < 0.35:
        rng.shuffle(kinds)
    for kind in kinds:
        changed = ALTER[kind](text, rng)
        if changed and changed.lower() != text.lower():
            return changed, kind
    return None


def _typo(text: str, rng: random.Random) -> str:
    spots = [m for m in re.finditer(r"[a-z]{5,}", text)]
    if not spots:
        return text
    m = rng.choice(spots)
    i = rng.randrange(m.start() + 1, m.end() - 2)
    if rng.random() < 0.5:
        return text[:i] + text[i + 1 :]
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]


def _numbers_written(text: str, rng: random.Random) -> str:
    if rng.random() < 0.5:
        text = re.sub(r"\b([2-9]|1[0-2])\b(?![%.,:/]\d)", lambda m: DIGITS[int(m.group())], text, count=1)
    text = re.sub(r"\$(\d[\d,.]*\d|\d)", r"\1 dollars", text) if rng.random() < 0.5 else text
    text = re.sub(r"(\d)%", r"\1 percent", text) if rng.random() < 0.5 else text
    return re.sub(r"\b(\d{1,3})(\d{3})\b(?! ?(AD|BC))", r"\1,\2", text) if rng.random() < 0.2 else text


def keep(text: str, rng: random.Random) -> str:
    """The same question in a slightly different surface."""
    if rng.random() < 0.35:
        text = _swap_word(text, lambda word: rng.choice(SAME[word]) if word in SAME else None, rng) or text
    if rng.random() < 0.3:
        for long, short in SHORT.items():
            text = re.sub(rf"\b{long}\b", lambda m, s=short: _recase(s, m.group()), text, flags=re.I)
    if rng.random() < 0.4:
        text = _numbers_written(text, rng)
    if rng.random() < 0.12:
        text = _typo(text, rng)
    if rng.random() < 0.15:
        first = rng.choice(POLITE)
        text = first + (text[0].lower() + text[1:] if first.endswith(", ") and text[:2] != "I " else text)
    if rng.random() < 0.08:
        text = text.rstrip() + rng.choice(AFTER)
    if rng.random() < 0.3:
        text = text.rstrip("?.! ")
    if rng.random() < 0.3:
        text = text.lower()
    return text
