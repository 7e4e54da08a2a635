"""Citations of the history of Messages, as a model that signs its own takes them back."""

from typing import Any

from farthing.types import Json


def without_unsigned(citations: list[Any] | tuple[Json, ...]) -> list[Any]:
    """`citations` without pages that no model which speaks Messages has found: they bear no index of its
    search, and it refuses them."""
    return [one for one in citations if not _is_unsigned(one)]


def has_unsigned(citations: tuple[Json, ...]) -> bool:
    return any(map(_is_unsigned, citations))


def _is_unsigned(citation: Any) -> bool:
    return (
        citation.__class__ is dict
        and citation.get("type") == "web_search_result_location"
        and not citation.get("encrypted_index")
    )
