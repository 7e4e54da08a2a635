"""The base of every table of the configuration."""

from typing import Any, ClassVar

import msgspec


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table: immutable, keyword-only, and a typo is an error."""

    assumed: ClassVar[bool] = False
    """Whether this is the default kind, among several, if the file names none."""

    @classmethod
    def written(cls, table: dict[str, Any]) -> dict[str, Any]:
        """`table` with field names, if a key may also be spelled in another way."""
        return table
