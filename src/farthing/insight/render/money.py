"""Nano-dollars as text, exactly: from integers, never through a float."""

from decimal import ROUND_HALF_EVEN, Decimal


def usd(nusd: int, *, places: int | None = None) -> str:
    """`nusd` in US dollars: to the nano-dollar without trailing zeros, or rounded to `places` decimals.

    At least two decimals are shown. A non-zero amount never rounds to zero: then all its decimals are shown.
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
    """A sum that leaves out `unpriced` unknown amounts: a lower bound, or `unknown` if the sum is 0."""
    if not unpriced:
        return usd(nusd, places=places)
    return f"≥ {usd(nusd, places=places)}" if nusd else "unknown"
