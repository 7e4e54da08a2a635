"""The options of a plug-in: a table whose keys only the plug-in knows."""

from collections.abc import Iterator, Mapping
from typing import Any

from farthing.config.settings.secret import Secret


class Options:
    """A table as it was written, secrets within. Immutable; shown with the names of secrets alone."""

    __slots__ = ("_table",)

    def __init__(self, table: Mapping[str, Any] | None = None) -> None:
        """`table` holds texts, numbers, booleans, secrets, and lists and tables of these."""
        self._table = dict(table or {})

    def values(self) -> dict[str, Any]:
        """A copy for the plug-in itself: plain values, those of secrets among them."""
        return {key: _revealed(value) for key, value in self._table.items()}

    def shown(self) -> dict[str, Any]:
        """A copy for everybody else: secrets as `${NAME}`."""
        return {key: _shown(value) for key, value in self._table.items()}

    def secrets(self) -> Iterator[str]:
        """The values of all secrets in it."""
        return _secrets(self._table)

    def __repr__(self) -> str:
        return repr(self.shown())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and self._table == other._table

    def __hash__(self) -> int:
        return hash(repr(self))


def _revealed(value: Any) -> Any:
    match value:
        case Secret():
            return value.value
        case dict():
            return {key: _revealed(item) for key, item in value.items()}
        case list():
            return [_revealed(item) for item in value]
        case _:
            return value


def _shown(value: Any) -> Any:
    match value:
        case Secret():
            return repr(value)
        case dict():
            return {key: _shown(item) for key, item in value.items()}
        case list():
            return [_shown(item) for item in value]
        case _:
            return value


def _secrets(value: Any) -> Iterator[str]:
    match value:
        case Secret():
            yield value.value
        case dict():
            for item in value.values():
                yield from _secrets(item)
        case list():
            for item in value:
                yield from _secrets(item)
