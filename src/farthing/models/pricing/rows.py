"""The file of the catalogue: a line that says what is in it, then a model a line, grouped by provider.

The first line tells where each provider's rows begin, so that only the names of providers that are asked for
are ever read, and of these only the entries that are.
"""

import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import msgspec

from farthing.types import NOTHING_SAID, Features, Model, Operation, Price

ALWAYS = "0000-00-00"


class PriceRow(msgspec.Struct, frozen=True):
    """A price as the file writes it."""

    input: int = msgspec.field(name="in")
    output: int = msgspec.field(name="out")
    since: str = ALWAYS
    cached: int | None = None
    write: int | None = None
    batch_in: int | None = None
    batch_out: int | None = None
    long_over: int | None = None
    long: "PriceRow | None" = None
    write_long: int | None = None
    audio_in: int | None = None
    audio_out: int | None = None
    image_in: int | None = None
    image_out: int | None = None
    cached_audio: int | None = None
    cached_image: int | None = None
    reasoning: int | None = None
    request: int = 0
    tiers: "dict[str, PriceRow]" = {}
    factors: dict[str, str] = {}
    fees: dict[str, int] = {}

    def price(self, since: str | None = None) -> Price:
        since = self.since if since is None else since
        return Price(
            since=since,
            input_pusd=self.input,
            output_pusd=self.output,
            cached_input_pusd=self.cached,
            cache_write_pusd=self.write,
            batch_input_pusd=self.batch_in,
            batch_output_pusd=self.batch_out,
            long_over_tokens=self.long_over,
            long=None if self.long is None else self.long.price(since),
            cache_write_long_pusd=self.write_long,
            audio_input_pusd=self.audio_in,
            audio_output_pusd=self.audio_out,
            image_input_pusd=self.image_in,
            image_output_pusd=self.image_out,
            cached_audio_pusd=self.cached_audio,
            cached_image_pusd=self.cached_image,
            reasoning_pusd=self.reasoning,
            request_pusd=self.request,
            tiers={name: row.price(since) for name, row in self.tiers.items()},
            factors={name: Fraction(factor) for name, factor in self.factors.items()},
            fees_pusd=self.fees,
        )


class Row(msgspec.Struct, frozen=True):
    """A model as the file writes it. Prices stay undecoded: of thousands of models, few are asked for."""

    provider: str
    model: str
    operation: Operation = "chat"
    context: int | None = None
    output: int | None = None
    prices: msgspec.Raw = msgspec.Raw(b"[]")
    can: str = ""
    cannot: str = ""
    efforts: str = ""
    cache_min: int | None = None
    endpoints: str = ""
    released: str = ""
    retires: str = ""
    deprecated: bool = False
    checked: str = ""

    def entry(self) -> Model:
        return Model(
            provider=self.provider,
            model=self.model,
            context_tokens_max=self.context,
            output_tokens_max=self.output,
            prices=tuple(row.price() for row in _PRICES.decode(self.prices)),
            operation=self.operation,
            features=self._features(),
            released=self.released,
            retires=self.retires,
            deprecated=self.deprecated,
            checked=self.checked,
        )

    def _features(self) -> Features:
        if not (self.can or self.cannot or self.efforts or self.endpoints or self.cache_min):
            return NOTHING_SAID
        return Features(
            can=frozenset(self.can.split()),
            cannot=frozenset(self.cannot.split()),
            efforts=tuple(self.efforts.split()),
            endpoints=tuple(self.endpoints.split()),
            cache_tokens_min=self.cache_min,
        )


class Header(msgspec.Struct, frozen=True):
    version: str
    providers: dict[str, tuple[int, int]]
    """Where the rows of each begin after the first line, and how long they are, in bytes."""
    models: int = 0
    unit: str = ""
    crc32: int | None = None
    """Of all rows, where the file did not come with the package."""


class _Name(msgspec.Struct, frozen=True):
    model: str


_NAMES = msgspec.json.Decoder(_Name)
_ROWS = msgspec.json.Decoder(Row)
_PRICES = msgspec.json.Decoder(list[PriceRow])
_HEADER = msgspec.json.Decoder(Header)


class File:
    """The bytes of a catalogue. Decodes the rows of a provider when they are asked for."""

    __slots__ = ("_begin", "_content", "header")

    def __init__(self, content: bytes) -> None:
        """Raises:
        ValueError: it is no catalogue, or was cut or changed.
        """
        self._content = content
        self._begin = content.find(b"\n") + 1
        try:
            self.header = _HEADER.decode(content[: self._begin])
        except msgspec.DecodeError as why:
            raise ValueError(f"its first line is no header: {why}") from None
        crc32 = self.header.crc32
        if crc32 is not None and zlib.crc32(memoryview(content)[self._begin :]) != crc32:
            raise ValueError("it was cut or changed")

    @property
    def body(self) -> bytes:
        """All rows, a line each."""
        return self._content[self._begin :]

    def providers(self) -> Iterable[str]:
        return self.header.providers

    def lines(self, provider: str) -> dict[str, bytes]:
        """The models of a provider by name, each still a line.

        Raises:
            msgspec.DecodeError: a line is none.
        """
        place = self.header.providers.get(provider)
        if place is None:
            return {}
        begin, length = self._begin + place[0], place[1]
        lines = self._content[begin : begin + length].splitlines()
        return {_NAMES.decode(line).model: line for line in lines}


def written(version: str, rows: Iterable[dict[str, Any]], *, sealed: bool = False) -> bytes:
    """The file that holds `rows`, in their order within each provider. `sealed`: with a checksum."""
    lines: dict[str, list[bytes]] = {}
    for row in rows:
        line = msgspec.json.encode(row)
        lines.setdefault(row["provider"], []).append(line)
    body = bytearray()
    providers = {}
    for provider in sorted(lines):
        begin = len(body)
        body += b"\n".join(lines[provider]) + b"\n"
        providers[provider] = (begin, len(body) - begin)
    header = {
        "version": version,
        "unit": "pico-dollars per token",
        "models": sum(map(len, lines.values())),
        "providers": providers,
    }
    if sealed:
        header["crc32"] = zlib.crc32(body)
    return msgspec.json.encode(header) + b"\n" + bytes(body)


def row_of(line: bytes) -> Row:
    """Raises:
    msgspec.DecodeError: it is no row.
    """
    return _ROWS.decode(line)


def decoded(content: bytes) -> Iterator[Row]:
    """Every row of a file without trusting its first line, which need not be there.

    Raises:
        msgspec.DecodeError: a line is no row.
    """
    for line in content.splitlines():
        if line.strip():
            yield _ROWS.decode(line)
