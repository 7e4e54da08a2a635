"""Nano-dollars as people read them, exactly: from integers, never by way of a float."""

from decimal import ROUND_HALF_EVEN, Decimal


def usd(nusd: int, *, places: int | None = None) -> str:
    """`nusd` in US dollars: to the nano-dollar without idle zeros, or rounded to `places` decimals.

    At least two decimals are shown, and an amount that is not zero never rounds to zero: then all are.
    """
    value = abs(Decimal(nusd).scaleb(-9))
    sign = "-" if nusd < 0 else ""
    if places is not None:
        rounded = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
        if rounded or not nusd:
            return f"{sign}${rounded:,f}"
    whole, _, decimals = f"{value:f}".partition(".")
    return f"{sign}${int(whole):,}.{decimals.rstrip('0').ljust(2, '0')}"


def at_least(nusd: int, unpriced: int, *, places: int | None = None) -> str:
    """A sum beside which `unpriced` amounts are unknown: the least that all came to, `unknown` where it is
    nothing."""
    if not unpriced:
        return usd(nusd, places=places)
    return f"≥ {usd(nusd, places=places)}" if nusd else "unknown"
