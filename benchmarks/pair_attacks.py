"""Pairs made to look alike and mean something else: altered customer questions, and collision attacks.

Nothing here is shared with the making of the training pairs: other templates, other lists, other code.
"""

import csv
import random
import re
from pathlib import Path

from benchmarks.pairs import Pairs

COUNTRIES = [
    "Spain",
    "France",
    "Italy",
    "Portugal",
    "Austria",
    "Hungary",
    "Croatia",
    "Estonia",
    "Morocco",
    "Peru",
]
CURRENCIES = ["GBP", "EUR", "USD", "AUD", "CAD", "SEK", "PLN"]
MONEY_WORDS = ["pounds", "euros", "dollars", "francs"]
CARDS = ["Visa", "Mastercard", "American Express", "Apple Pay", "Google Pay"]
WHEN = [
    "today",
    "yesterday",
    "tomorrow",
    "last week",
    "this morning",
    "on Monday",
    "on Saturday",
    "in March",
    "in July",
]
SPANS = ["minutes", "hours", "days", "weeks", "months"]
TAILS = [
    " by {n} {when}",
    " for {n} {money} {when}",
    " in {country}",
    " with my {card}",
    " {when}",
    " within {n} {span}",
]
KNOWN = (COUNTRIES, CURRENCIES, MONEY_WORDS, CARDS, WHEN, SPANS)


def altered_banking(path: Path, count: int = 3_000, seed: int = 11) -> Pairs:
    """BANKING77 questions with a number, date, currency, country or card changed; and harmless rewordings."""
    rng = random.Random(seed)
    with path.open(encoding="utf-8", newline="") as file:
        texts = [" ".join(row["text"].split()) for row in csv.DictReader(file)]
    texts = [text for text in texts if len(text) < 160]
    pairs = Pairs("banking77_altered")
    while len(pairs) < count:
        text = rng.choice(texts)
        if not re.search(r"\d", text) and rng.random() < 0.7:
            text = _with_detail(text, rng)
        if rng.random() < 0.4:
            pairs.add(text, _reworded(text, rng), 1, "reworded")
            continue
        changed = _changed(text, rng)
        if changed:
            pairs.add(text, changed[0] if rng.random() < 0.6 else _reworded(changed[0], rng), 0, changed[1])
    return pairs


def _with_detail(text: str, rng: random.Random) -> str:
    tail = rng.choice(TAILS).format(
        n=rng.choice([10, 15, 20, 35, 50, 80, 100, 120, 250, 400]),
        when=rng.choice(WHEN),
        money=rng.choice(MONEY_WORDS),
        country=rng.choice(COUNTRIES),
        card=rng.choice(CARDS),
        span=rng.choice(SPANS),
    )
    return text.rstrip("?.! ") + tail + ("?" if text.endswith("?") else "")


def _changed(text: str, rng: random.Random) -> tuple[str, str] | None:
    ways = []
    numbers = list(re.finditer(r"\d+", text))
    if numbers:
        found = rng.choice(numbers)
        value = int(found.group())
        new = rng.choice([v for v in (value + 10, value * 3, max(1, value // 2), value + 1) if v != value])
        ways.append((text[: found.start()] + str(new) + text[found.end() :], "number"))
    for family, kind in zip(KNOWN, ("country", "currency", "money", "card", "date", "span"), strict=True):
        for word in family:
            if re.search(rf"\b{re.escape(word)}\b", text):
                other = rng.choice([w for w in family if w != word])
                ways.append((re.sub(rf"\b{re.escape(word)}\b", other, text, count=1), kind))
    return rng.choice(ways) if ways else None


def _reworded(text: str, rng: random.Random) -> str:
    """Nothing but the manner: a greeting, case, marks, a short form."""
    for long, short in (("I am", "I'm"), ("do not", "don't"), ("what is", "what's"), ("cannot", "can't")):
        text = text.replace(long, short)
    text = rng.choice(
        ["{}", "Hello, {}", "{} Thanks", "Good morning. {}", "Could you help? {}", "{}"]
    ).format(text)
    return text.lower() if rng.random() < 0.3 else text.rstrip("?") if rng.random() < 0.3 else text


# Two questions with different answers and few different letters. The kind is what was turned.
CORES = [
    ("How do I allow remote logins?", "How do I disallow remote logins?", "prefix"),
    ("Is this drug safe with alcohol?", "Is this drug safe without alcohol?", "prefix"),
    ("Can I cancel after the trial has started?", "Can I cancel before the trial has started?", "antonym"),
    ("How do I revoke a key?", "How do I invoke a key?", "letters"),
    ("What is the half-life of iodine-131?", "What is the half-life of iodine-129?", "number"),
    ("Convert 72 kg to pounds", "Convert 72 pounds to kg", "direction"),
    ("Does Anna report to Boris?", "Does Boris report to Anna?", "roles"),
    ("Did Rome defeat Carthage?", "Did Carthage defeat Rome?", "roles"),
    ("Which users can read the file?", "Which users cannot read the file?", "negation"),
    ("Is it legal to record a call in Ohio?", "Is it illegal to record a call in Ohio?", "prefix"),
    ("What is the maximum dose for an adult?", "What is the minimum dose for an adult?", "antonym"),
    ("What is the maximum dose for an adult?", "What is the maximum dose for an infant?", "noun"),
    ("How do I mount the volume read-only?", "How do I mount the volume read-write?", "noun"),
    ("What does HTTP 401 mean?", "What does HTTP 403 mean?", "number"),
    ("Who was president in 1932?", "Who was president in 1933?", "number"),
    ("How do I merge main into dev?", "How do I merge dev into main?", "direction"),
    ("How do I undo the last commit?", "How do I undo the first commit?", "antonym"),
    ("Is the sum of two odd numbers odd?", "Is the product of two odd numbers odd?", "noun"),
    ("Sort the list in ascending order", "Sort the list in descending order", "antonym"),
    ("What is the boiling point of water?", "What is the freezing point of water?", "noun"),
    ("Wire 500 USD to Acme Ltd", "Wire 500 EUR to Acme Ltd", "unit"),
    ("Wire 500 USD to Acme Ltd", "Wire 5000 USD to Acme Ltd", "number"),
    ("Is my plan covered in Austria?", "Is my plan covered in Australia?", "letters"),
    ("How do I delete a row?", "How do I delete a column?", "noun"),
    ("Which tax applies to residents?", "Which tax applies to non-residents?", "prefix"),
    ("How many employees does the firm have?", "How many employers does the firm have?", "letters"),
    ("What are the side effects of hydroxyzine?", "What are the side effects of hydralazine?", "letters"),
    ("Is the meeting at 9:15?", "Is the meeting at 9:50?", "number"),
    ("What happens if I stop paying?", "What happens if I start paying?", "antonym"),
    ("Give me all orders over 100 euros", "Give me all orders under 100 euros", "antonym"),
    ("Does the warranty cover water damage?", "Does the warranty exclude water damage?", "antonym"),
    ("Is the flight from Oslo to Bergen direct?", "Is the flight from Bergen to Oslo direct?", "direction"),
    ("Are all of the tests passing?", "Are any of the tests passing?", "quantifier"),
    ("Why did the build pass?", "Why did the build fail?", "antonym"),
    ("How do I encrypt the backup?", "How do I decrypt the backup?", "prefix"),
    ("Who may approve this request?", "Who must approve this request?", "modal"),
    ("When did the lease begin?", "When did the lease end?", "antonym"),
    ("How do I raise the limit of my card?", "How do I lower the limit of my card?", "antonym"),
    ("Is the parent process waiting for the child?", "Is the child process waiting for the parent?", "roles"),
    ("List the cities that are not in Texas", "List the cities that are in Texas", "negation"),
    ("What did Kant say about Hume?", "What did Hume say about Kant?", "roles"),
    ("How do I connect to the staging database?", "How do I connect to the production database?", "noun"),
]
SAME = [
    ("How do I revoke a key?", "What is the way to revoke a key?"),
    ("What is the boiling point of water?", "At what temperature does water boil?"),
    ("How do I undo the last commit?", "How can I undo my most recent commit?"),
    ("Who was president in 1932?", "In 1932, who was president?"),
    ("How do I delete a row?", "What is the way to remove a row?"),
    ("What does HTTP 401 mean?", "What is the meaning of HTTP 401?"),
    ("Convert 72 kg to pounds", "How many pounds are 72 kg?"),
    ("How do I encrypt the backup?", "How can the backup be encrypted?"),
    ("Does the warranty cover water damage?", "Is water damage covered by the warranty?"),
    ("What is the maximum dose for an adult?", "How large is the maximum dose for adults?"),
]
PADDING = [
    "You are a careful assistant. Answer in one short paragraph and cite the page. ",
    "Context: we are a mid-sized company with two offices, and this is for the weekly report to the board. ",
    "I have looked through the manual and asked two colleagues already, and none of them could tell me. ",
    "Please keep the answer short, polite and free of jargon, since it goes to a customer. ",
]


def attacks(seed: int = 12) -> Pairs:
    """Each core pair bare, in shared padding, stuffed with the other's words, and with look-alike letters."""
    rng = random.Random(seed)
    pairs = Pairs("collision_attacks")
    for a, b, kind in CORES:
        pairs.add(a, b, 0, kind)
        before, after = rng.sample(PADDING, 2)
        pairs.add(before + a, before + b, 0, "padding")
        pairs.add(before + a + " " + after, before + b + " " + after, 0, "padding")
        pairs.add(a, f"{b} {a.rstrip('?')} is what others ask.", 0, "stuffing")
        pairs.add(a, b.replace("o", "о", 1), 0, "look-alike letter")  # noqa: RUF001
        pairs.add(a.upper(), b.upper(), 0, "capitals")
        pairs.add(a, b.replace(" ", "\u200b ", 1), 0, "invisible letter")
    for a, b in SAME:
        pairs.add(a, b, 1, "same")
        before = rng.choice(PADDING)
        pairs.add(before + a, before + b, 1, "same, padded")
    return pairs
