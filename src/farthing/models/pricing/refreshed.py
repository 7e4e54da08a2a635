"""A newer price list than that of the package, read like a hostile file.

Two formats are read: our own (`data/catalogue.jsonl`), which replaces the list of the package, and litellm's
(`model_prices_and_context_window.json`), whose models replace those of the same name.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
from msgspec import Struct

from farthing.config import fault_of_name
from farthing.errors import FarthingError
from farthing.models.pricing.catalogue import Catalogue, price_on
from farthing.models.pricing.listed.features import with_releases
from farthing.models.pricing.listed.litellm import read_list, rows_of, with_places
from farthing.models.pricing.listed.prices import PUSD_MAX, compact
from farthing.models.pricing.rows import ALWAYS, File, PriceRow, Row, decoded, written
from farthing.types import FEATURES, Model

BYTES_MAX = 16_777_216
PRICED_MIN = 100  # fewer priced models are no list
ROWS_MAX = 100_000
NAME_CHARS_MAX = 200
TOKENS_MAX = 100_000_000
JUMP = 10  # a price that is so many times another is told
DEPTH_MAX = 8
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FACTOR = re.compile(r"\d{1,4}(?:\.\d{1,9})?")
_DAY = re.compile(r"20\d\d-[01]\d-[0-3]\d|0000-00-00")
_WHEN = re.compile(r"(?:20\d\d-[01]\d(?:-[0-3]\d)?)?")
_FEATURES = frozenset(FEATURES)
_KEYS = re.compile(r"[a-z0-9_]{1,64}")


class NotAList(FarthingError):
    """What was fetched is no price list that may be used. The message says why."""


class Refreshed(Struct, frozen=True, kw_only=True):
    content: bytes
    """The file to keep."""
    version: str
    models: int
    added: int
    changed: int
    """Models whose price of today is another."""
    gone: int
    refused: int
    """Rows that were left out, since something in them cannot be."""
    jumps: tuple[str, ...]
    """Prices that are more than `JUMP` times what they were, or less than a tenth, a line each."""


# -- what was fetched -------------------------------------------------------------------------------


def read_fetched(content: bytes, *, source: str, today: str, before: Catalogue) -> Refreshed:
    """Check what came from `source` (for the version), with `before` in use.

    Raises:
        NotAList: it is none, or too little of it can be used.
    """
    if len(content) > BYTES_MAX:
        raise NotAList(f"it has more than {BYTES_MAX:,} bytes")
    rows, refused = _of_litellm(content, today, before) if _is_litellms(content) else _own(content)
    version = f"{today} fetched from {source}"
    made = written(version, rows, sealed=True)
    after = Catalogue.of(File(made))
    return Refreshed(
        content=made, version=version, models=len(rows), refused=refused, **_compared(before, after, today)
    )


def _is_litellms(content: bytes) -> bool:
    """Whether it is one object of objects, not an object a line."""
    first = content.lstrip()[:65_536].partition(b"\n")[0]
    return not (first.startswith(b"{") and (b'"version"' in first or b'"provider"' in first))


def _own(content: bytes) -> tuple[list[dict[str, Any]], int]:
    head, _, rest = content.lstrip().partition(b"\n")
    body = rest if b'"version"' in head else content
    found: dict[tuple[str, str], dict[str, Any]] = {}
    refused = 0
    try:
        for count, row in enumerate(decoded(body)):
            if count >= ROWS_MAX:
                raise NotAList(f"it has more than {ROWS_MAX:,} rows")
            if _fault(row) or (row.provider, row.model) in found:
                refused += 1
                continue
            found[row.provider, row.model] = _plain(row)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as why:
        raise NotAList(f"a line of it is no row of a price list: {why}") from None
    _check_size(found.values())
    return [found[key] for key in sorted(found)], refused


def _check_size(rows: Iterable[Mapping[str, Any]]) -> None:
    """Raises:
    NotAList: of what was fetched, too little can be used.
    """
    priced = sum(bool(row.get("prices")) for row in rows)
    if priced < PRICED_MIN:
        raise NotAList(f"it prices {priced} models that can be used, and a list has {PRICED_MIN} or more")


def _of_litellm(content: bytes, today: str, before: Catalogue) -> tuple[list[dict[str, Any]], int]:
    """The models of the list over those in use."""
    decoder = msgspec.json.Decoder(dict[str, dict[str, Any]], float_hook=_bounded)
    try:
        listed = decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as why:
        raise NotAList(f"it is neither our price list nor litellm's: {why}") from None
    if len(listed) > ROWS_MAX:
        raise NotAList(f"it has more than {ROWS_MAX:,} rows")
    found = {(one.provider, one.model): _plain(one) for one in _rows_of(before)}
    fetched, refused = list[dict[str, Any]](), 0
    for row in _converted(listed):
        read = None if row is None else _read(row)
        if row is None or read is None or _fault(read):
            refused += 1
            continue
        key = read.provider, read.model
        found[key] = _over(found.get(key), row, today)
        fetched.append(row)
    _check_size(fetched)
    return with_places(with_releases(found[key] for key in sorted(found))), refused


def _converted(listed: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any] | None]:
    """The rows that each entry comes to; None: it cannot be read, or no model costs what it says."""
    for key, row in listed.items():
        try:
            source = read_list({key: row})
            prices = [price for entry in source.values() for price in entry.prices]
            if any(max(price["in"], price["out"]) > PUSD_MAX for price in prices):
                yield None
            else:
                yield from rows_of(source)
        except (TypeError, ValueError, AttributeError, ArithmeticError, KeyError, RecursionError):
            yield None


def _read(row: dict[str, Any]) -> Row | None:
    try:
        return next(decoded(msgspec.json.encode(row)), None)
    except (msgspec.DecodeError, msgspec.EncodeError, TypeError, OverflowError):
        return None


def _over(old: dict[str, Any] | None, new: dict[str, Any], today: str) -> dict[str, Any]:
    """`new`, with the prices of before today that `old` has, and what only `old` knows."""
    if old is None:
        return new
    before, after = old.get("prices") or [], new.get("prices") or []
    merged = old | new
    merged.pop("checked", None)
    if not after:
        return merged | {"prices": before} if before else merged
    held = [price for price in before if price.get("since", ALWAYS) <= today]
    if held and all(held[-1].get(key) == after[-1].get(key) for key in ("in", "out")):
        return merged | {"prices": before}
    past = [price for price in held if price.get("since", ALWAYS) < today]
    return merged | {"prices": [*past, {**after[-1], "since": today}] if past else after}


def _bounded(text: str) -> Decimal | None:
    """A number that may be a price; None: no price is so large or so small."""
    value = Decimal(text)
    return value if value.is_finite() and -20 <= value.adjusted() <= 9 and len(text) <= 40 else None


# -- bounds -----------------------------------------------------------------------------------------


def _fault(row: Row) -> str:
    """What is wrong with a row; empty: nothing."""
    if not _PROVIDER.fullmatch(row.provider):
        return "provider"
    if fault_of_name(row.model) or len(row.model) > NAME_CHARS_MAX:
        return "model"
    sizes = (row.context, row.output, row.cache_min)
    if any(size is not None and not 0 < size <= TOKENS_MAX for size in sizes):
        return "size"
    if not {*row.can.split(), *row.cannot.split()} <= _FEATURES:
        return "feature"
    if not (_WHEN.fullmatch(row.released) and _WHEN.fullmatch(row.retires)):
        return "date"
    try:
        prices = _PRICES.decode(row.prices)
    except (msgspec.DecodeError, RecursionError):
        return "prices"
    days = [price.since for price in prices]
    if days != sorted(set(days)) or any(_price_fault(row, price) for price in prices):
        return "price"
    return ""


_PRICES = msgspec.json.Decoder(list[PriceRow])


def _price_fault(row: Row, price: PriceRow, depth: int = 0) -> bool:
    """Whether a price cannot be: absurd, or nothing where that is not the word for it."""
    numbers = [value for value in msgspec.structs.astuple(price) if isinstance(value, int)]
    if depth > DEPTH_MAX or any(not 0 <= value <= PUSD_MAX for value in numbers):
        return True
    free = row.model.endswith(":free")
    if not free and (price.input == 0 or (price.output == 0 and row.operation == "chat")):
        return True
    if not _DAY.fullmatch(price.since) or (price.cached or 0) > price.input:
        return True
    if (price.long is None) != (price.long_over is None):
        return True
    if any(not _KEYS.fullmatch(key) for key in (*price.tiers, *price.factors, *price.fees)):
        return True
    factors = price.factors.values()
    if any(not _FACTOR.fullmatch(one) or not 0 < Fraction(one) <= 100 for one in factors):
        return True
    if any(not 0 <= fee <= PUSD_MAX * 1_000 for fee in price.fees.values()):
        return True
    inner = [*price.tiers.values(), *([price.long] if price.long else [])]
    return len(inner) > 16 or any(_price_fault(row, one, depth + 1) for one in inner)


def _plain(row: Row) -> dict[str, Any]:
    """A row as it is written: without what it does not say."""
    found: dict[str, Any] = {**msgspec.structs.asdict(row), "prices": msgspec.json.decode(row.prices)}
    if row.operation == "chat":
        del found["operation"]
    return {name: value for name, value in compact(found).items() if value is not False}


# -- compared ---------------------------------------------------------------------------------------


def _rows_of(catalogue: Catalogue) -> Iterator[Row]:
    for provider in catalogue.providers():
        yield from catalogue.rows(provider)


def _models(catalogue: Catalogue) -> Iterable[Model]:
    return (model for provider in catalogue.providers() for model in catalogue.models(provider))


def _compared(before: Catalogue, after: Catalogue, today: str) -> dict[str, Any]:
    old = {(model.provider, model.model): model for model in _models(before)}
    new = {(model.provider, model.model): model for model in _models(after)}
    changed, jumps = 0, []
    for key in old.keys() & new.keys():
        one, other = price_on(old[key], today), price_on(new[key], today)
        if one is None or other is None:
            continue
        was, now = (one.input_pusd, one.output_pusd), (other.input_pusd, other.output_pusd)
        changed += was != now
        if any(_jumps(a, b) for a, b in zip(was, now, strict=True)):
            told = " to ".join(f"${a / 1e6:g} in and ${b / 1e6:g} out" for a, b in (was, now))
            jumps.append(f"{'/'.join(key)}: from {told} a million tokens")
    return {
        "added": len(new.keys() - old.keys()),
        "gone": len(old.keys() - new.keys()),
        "changed": changed,
        "jumps": tuple(sorted(jumps)),
    }


def _jumps(one: int, other: int) -> bool:
    return max(one, other) > JUMP * min(one, other)
