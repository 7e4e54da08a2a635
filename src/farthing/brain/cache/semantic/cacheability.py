# ruff: noqa: RUF001  (apostrophes as people type them)
"""Questions and answers that must never be reused: those about one person, or about one moment.

Two layers. Identifiers (an address, a card, an order number, a given name) and secrets are recognised by
their form. Questions about somebody's own state ("what is my balance", "where is my order") or about now
("today", "the latest") are recognised by their words. "My card is not working" is neither: every customer
gets the same help. The word rules are English; the forms need no language. Where the rules are not enough,
use the endpoint's `never` or a documents version. The rules err towards refusing: that costs a call, the
opposite a wrong answer.
"""

import re
from typing import Literal

from farthing.text.phrase import normalised
from farthing.types import Semantics

Unfit = Literal["never", "secret", "personal", "moment", "refusal", "empty"]
"""Why a question or an answer is not stored."""

# -- forms ------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{2,63}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_DIGITS = re.compile(r"(?<![\w.,])\+?\(?\d[\d ()./-]{6,22}\d\b")
"""A run of digits in the form of phone, card and account numbers; `_is_number_of_somebody` counts them."""
_CODE = re.compile(
    r"\b(?=[A-Z0-9-]{6,24}\b)(?=[A-Z-]*\d)(?=[\d-]*[A-Z])[A-Z0-9]+(?:-[A-Z0-9]+)*\b|#\s?\d{3,}"
)
"""`AB12345`, `ORD-2024-7781`, `#48213`: the forms of order, ticket and booking numbers."""
_NAMED = re.compile(
    r"\b(?:order|ticket|invoice|case|booking|reservation|reference|tracking|account|customer|policy|claim|"
    r"card|"
    r"flight|parcel|shipment|member(?:ship)?)\s*(?:number|no\.?|nr\.?|id|code|#)?\s*(?:is|:|#)?\s*"
    r"(?=[A-Z0-9-]{3,24}\b)[A-Za-z-]{0,6}\d[\w-]{2,}",
    re.IGNORECASE,
)
_DATE_LIKE = re.compile(
    r"^\d{4}[./-]\d{1,2}[./-]\d{1,2}$|^\d{1,2}[./-]\d{1,2}[./-]\d{2,4}$|^\d{4}\s?-\s?\d{4}$"
)
_NAME_GIVEN = re.compile(
    r"\b(?:my (?:full |first |last |sur)?name(?: is|'s) (?!not|wrong|incorrect|mis|spelt|spelled|"
    r"different|changing)|"
    r"i am called|i'm called|(?:this is|i am|i'm) (?:mr|mrs|ms|dr)\b|"
    r"my (?:date of birth|birthday|dob|ssn|social security number|passport|address|phone|postcode|zip)"
    r"(?: number| code)? ?(?:is|:)[^.?!\n]{0,12}\d)",
    re.IGNORECASE,
)
_GREETS_BY_NAME = re.compile(
    r"^(?:[Dd]ear|[Hh]i|[Hh]ello|[Hh]ey) (?!there\b|all\b|everyone\b|sir\b|madam\b|team\b)[A-Z][a-z]+\b"
)
_SECRET = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-[\w-]{10,}|AKIA[A-Z0-9]{12,}|"
    r"AIza[\w-]{30,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+)|-----BEGIN [A-Z ]*PRIVATE KEY|"
    r"\b(?:password|passwort|passcode|pin|cvv|cvc|api[ _-]?key|secret|token)\s*(?:[=:]\s*\S{3,}|"
    r"is\s+(?=\S*\d)\S{3,})",
    re.IGNORECASE,
)

# -- a question about somebody's own state ------------------------------------------------------------

_STATE_NOUNS = (
    r"(?:account |card |bank |checking |savings? |current |available |credit |outstanding |remaining )*"
    r"(?:balances?|orders?|parcels?|packages?|deliver(?:y|ies)|shipments?|bills?|invoices?|statements?|"
    r"payslips?|salary|paychecks?|transactions?|spending|expenses|credit (?:score|limit|rating)|limits?|"
    r"appointments?|bookings?|reservations?|flights?|calendar|schedule|agenda|meetings?|reminders?|"
    r"to-?do list|shopping list|playlists?|subscriptions?|plan|usage|points|rewards|miles|income|taxes|"
    r"(?:401k|pto|vacation|leave|holiday)(?: days| balance)?|test results|grades|due date|mileage)"
)
_STATE = re.compile(
    # what is my balance, how much is my bill, show me my last transactions, when is my bill due
    r"\b(?:what(?:'s| is| are| was| were)|how (?:much|many|high|big)(?: \w+){0,3}? (?:is|are|was|in|on|"
    r"have i|do i)|"
    r"when(?:'s| is| are| was| will| does| do)|where(?:'s| is| are)|show(?: me)?|tell me(?: \w+){0,3}?|"
    r"check|read(?: me)?|give me|look up|list|pull up|find(?: me)?|know|is there anything on|track|has|did)"
    r"(?: the (?:status|amount|total|details?|date|state|number|balance|current \w+) (?:of|on|for|in))?"
    rf" (?:my|our) (?:\w+ ){{0,2}}?{_STATE_NOUNS}\b"
    r"|\b(?:status|balance|total) (?:of|on|for) (?:my|our)\b|\bmy (?:\w+ ){0,2}?(?:status|balance)\s*\??$"
    r"|\b(?:on|in) (?:my|the) (?:calendar|schedule|agenda|(?:\w+ |to-do )?list)\b"
    r"|\bhow (?:much|many)(?: \w+){0,3}? (?:do|did|have|am) i (?:still |currently |have |been )*"
    r"(?:have(?! to\b)|got|owe|owing|make|making|earn|get paid|spen[dt]|spending|left|used?|taken?|pay in|"
    r"pay on|"
    r"need to pay (?:for|on) my)\b"
    r"|\bhow (?:much|many) (?:\w+ ){1,4}(?:are|is) (?:still )?left\b"
    r"|\bwhat (?:do i|did i|have i|am i|is it that i) (?:still )?(?:owe|spen[dt]|earn|scheduled?|booked|"
    r"buy|bought|ordered)"
    r"|\bdo i (?:still )?(?:owe|have (?:any|enough|a) (?:\w+ )?(?:left|money|cash|funds|credit|meetings?|"
    r"appointments?|"
    r"reminders?|bills?|debt|days))"
    r"|\benough (?:\w+ ){0,2}(?:in|on) (?:my|the)\b"
    r"|\b(?:have|did|am) i (?:been |already |ever |still )*(?:spen|paid|pay\b|buy|bought|add|put|schedul|"
    r"book|earn|tak)"
    r"|\btrack (?:my|the|an?) |\bdue date (?:for|of|on)\b"
    r"|\b(?:when|what (?:day|date|time))\b.{0,40}\b(?:bill|payment|invoice|rent|card)s? (?:is |are )?due\b",
    re.IGNORECASE,
)
_WHO_AM_I = re.compile(
    r"\b(?:what(?:'s| is) my (?:name|email|address|phone|age|username|user id|account number|routing number|"
    r"iban|location|next)|who am i|where am i|where do i (?:live|work)|remember (?:that i|my)|"
    r"how old am i)\b",
    re.IGNORECASE,
)

# -- a question about now -----------------------------------------------------------------------------

_MOMENT = re.compile(
    r"\b(?:today'?s?|tonight'?s?|tomorrow'?s?|currently|nowadays|right now|at the moment|"
    r"at present|as of (?:now|today|\w+ \d{4}|\d)|latest|newest|most recent(?:ly)?|up[- ]to[- ]date|breaking|"
    r"(?:this|next|coming) (?:afternoon|evening|week(?:end)?|month|quarter|year|season|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day)|(?:hours?|days?|minutes?|weeks?) from now|"
    r"heutiges?|heute|gestern|morgen|aktuell\w*|derzeit|aujourd'hui|actuellement|hier soir|demain|hoy|ayer|"
    r"ma[nñ]ana|actualmente)\b"
    r"|(?<!\bdo )(?<!\bhappens )\bnow\s*\?*$|\bis it now\b"
    r"|\b(?:who|what)(?:'s| is| are) (?:the )?(?:current|new|reigning|incumbent)\b|\bcurrent (?:price|"
    r"rate|time|"
    r"date|version|president|prime minister|ceo|champion|score|temperature|weather|status|news|traffic|"
    r"stock)\b"
    r"|\b(?:weather|forecast|temperature (?:in|outside)|stock price|share price|exchange rates? (?:is|are|"
    r"today|now|for)|"
    r"(?:is it|will it|going to) (?:rain|snow)|rain(?:ing)? (?:in|outside)|sunny|humidity|headlines|"
    r"traffic (?:on|in|to|like)|live score|final score|score of the|who(?:'s| is) winning|who won|"
    r"what time is it|(?:what(?:'s| is)|tell me|give me) the (?:time|date|day)(?=\W*(?:$|please|in\b|"
    r"now\b|of the week))|"
    r"what (?:day|date|month|year|time of day|day of the week) (?:is it|it is|are we|is today)|"
    r"what time (?:is it )?in [a-z]|chance of (?:rain|snow)|how is it outside|"
    r"how many days (?:until|till|since)|current events|in stock|open (?:now|today)|how (?:busy|"
    r"long is the wait))\b",
    re.IGNORECASE,
)

_PAST = re.compile(
    r"\b(?:yesterday'?s?|this morning|just now|(?:last|past) (?:night|week(?:end)?|month|quarter|year|season|"
    r"(?:mon|tues|wednes|thurs|fri|satur|sun)day|few (?:hours|days|weeks))|(?:hours?|days?|minutes?|"
    r"weeks?) ago)\b",
    re.IGNORECASE,
)
_I = re.compile(r"\b(?:i|my|me|we|our|us)\b", re.IGNORECASE)
"""People who tell what happened to them ("my card was stolen yesterday") ask for help, not for the news."""

# -- answers ------------------------------------------------------------------------------------------

_ANSWER_MOMENT = re.compile(
    r"\b(?:as of (?:now|today|this (?:writing|morning|week|month)|my last|the time|\w+ \d{1,2}|"
    r"\w+,? \d{4}|\d)|"
    r"today(?:'s)?(?: is| the|,)|tonight|right now|at the moment|at this moment|at present|currently|"
    r"the current (?:time|date|price|temperature|weather|score)|(?:earlier|later) (?:today|this week)|"
    r"yesterday|tomorrow)\b",
    re.IGNORECASE,
)
_ANSWER_STATE = re.compile(
    r"\byour (?:current |account |available |outstanding |last |next |recent |latest )*"
    r"(?:balance|order|parcel|package|delivery|shipment|bill|invoice|appointment|booking|reservation|flight|"
    r"salary|payment|transaction) (?:of |#|is (?:\W?\d|on its|due|scheduled|out for|in transit|ready)|"
    r"was |has |will (?:be|arrive)|"
    r"(?:should|is expected to) arrive)"
    r"|\b(?:you (?:currently )?(?:owe|have (?:\W?\d[\d.,]*|no) (?:\w+ )?(?:left|remaining|due|points|"
    r"orders?|meetings?)))",
    re.IGNORECASE,
)
_NOT_ABLE = (
    r"(?:can(?:no|')t|can not|am (?:not able|unable)|are (?:not able|unable)|(?:wo|would)n't|will not|"
    r"must decline|"
    r"(?:do not|don't) (?:know|have (?:access|the ability|(?:enough |any |that |the |"
    r"sufficient )*information)))"
)
_REFUSES = re.compile(
    r"^\W*(?:(?:i(?:'m| am) )?(?:very |really |so |truly )?(?:sorry|afraid)\b[^.!?\n]{0,60}?|"
    r"unfortunately,? |"
    r"i apologi[sz]e\b[^.!?\n]{0,60}?|as an ai\b[^.!?\n]{0,60}?)?(?:,|\bbut\b|\bthat\b|\s)*"
    rf"(?:i {_NOT_ABLE}\b|we {_NOT_ABLE} (?:to )?(?:help|assist|answer|comply|do (?:that|this)|share|"
    rf"provide|discuss)\b)",
    re.IGNORECASE,
)


def unfit_question(text: str, terms: Semantics) -> Unfit | None:
    """Why an answer to `text` must not be shared with another question; None if it may."""
    if terms.never and _has_phrase(normalised(text), terms.never):
        return "never"
    if _SECRET.search(text):
        return "secret"
    if terms.personal:
        return None
    plain = text.replace("’", "'")
    if _identifies(plain) or _STATE.search(plain) or _WHO_AM_I.search(plain):
        return "personal"
    return "moment" if _of_moment(plain) else None


def unfit_answer(text: str, question: str, terms: Semantics) -> Unfit | None:
    """Why the answer `text` must not be reused; None if it may.

    Whatever the question itself contains, a number or an address of the service, is allowed in the answer.
    """
    if not text.strip():
        return "empty"
    if _SECRET.search(text) and not _SECRET.search(question):
        return "secret"
    if _REFUSES.search(text[:300].replace("’", "'")):
        return "refusal"
    if terms.personal:
        return None
    plain = text.replace("’", "'")
    if _names_somebody(plain) or _ANSWER_STATE.search(plain):
        return "personal"
    return "moment" if _ANSWER_MOMENT.search(plain) else None


def _has_phrase(text: str, phrases: tuple[str, ...]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) for phrase in phrases)


def _of_moment(question: str) -> bool:
    return bool(_MOMENT.search(question) or (_PAST.search(question) and not _I.search(question)))


def _identifies(text: str) -> bool:
    return bool(
        _EMAIL.search(text)
        or _IBAN.search(text)
        or _CODE.search(text)
        or _NAMED.search(text)
        or _NAME_GIVEN.search(text)
        or any(_is_number_of_somebody(found.group()) for found in _DIGITS.finditer(text))
    )


def _names_somebody(answer: str) -> bool:
    """Whether an answer names a person's data. A service's own address and phone number are fine; a card, an
    account, an order or the asker's name belongs to one person."""
    return bool(
        _IBAN.search(answer)
        or _NAMED.search(answer)
        or _GREETS_BY_NAME.search(answer)
        or any(_is_card(found.group()) for found in _DIGITS.finditer(answer))
    )


def _is_number_of_somebody(written: str) -> bool:
    """Seven or more digits are a phone, a card or an account; dates and year ranges are not."""
    written = written.strip()
    return sum(map(str.isdigit, written)) >= 7 and not _DATE_LIKE.match(written)


def _is_card(written: str) -> bool:
    """13 to 19 digits with the check digit of ISO/IEC 7812."""
    digits = [int(char) for char in written if char.isdigit()]
    if not 13 <= len(digits) <= 19:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
