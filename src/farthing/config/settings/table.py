"""What every table of the configuration is."""

from typing import Any, ClassVar

import msgspec


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every table: immutable, keyword-only, and a typo is an error."""

    assumed: ClassVar[bool] = False
    """It is this kind, of several, where the file names none."""

    @classmethod
    def written(cls, table: dict[str, Any]) -> dict[str, Any]:
        """`table` by the names of the fields, where a key may be spelled in another way too."""
        return table
