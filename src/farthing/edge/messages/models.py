"""The list of models as clients of Messages read it. Pure functions."""

from datetime import UTC, datetime
from urllib.parse import parse_qs

import msgspec

from farthing.errors import InvalidRequest
from farthing.types import Json

LIMIT = 20
LIMIT_MAX = 1_000
FIELDS_MAX = 20

encode = msgspec.json.Encoder().encode


def page(entries: list[Json], query: bytes) -> bytes:
    """The page of `entries` (as OpenAI's list has them) that `query` asks for: `limit`, and the id that it
    begins after or ends before.

    Raises:
        InvalidRequest: names what of the query makes no sense.
    """
    asked = _asked(query)
    limit, after, before = _limit(asked), asked.get("after_id"), asked.get("before_id")
    if after is not None and before is not None:
        raise InvalidRequest("send `after_id` or `before_id`, not both", param="before_id")
    ids = [entry["id"] for entry in entries]
    if before is not None:
        end = _place(ids, before, "before_id")
        start = max(0, end - limit)
        more = start > 0
    else:
        start = 0 if after is None else _place(ids, after, "after_id") + 1
        end = min(len(ids), start + limit)
        more = end < len(ids)
    shown = [described(entry) for entry in entries[start:end]]
    return encode(
        {
            "data": shown,
            "has_more": more,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
        }
    )


def described(entry: Json) -> Json:
    """One entry. The date of a model is unknown here and written as 1970, as in Anthropic's own list."""
    created = entry.get("created")
    made = datetime.fromtimestamp(created if isinstance(created, int) else 0, UTC)
    return {
        "type": "model",
        "id": entry["id"],
        "display_name": entry["id"],
        "created_at": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_input_tokens": entry.get("context_window"),
        "max_tokens": entry.get("max_output_tokens"),
    }


def _asked(query: bytes) -> dict[str, str]:
    """The last of each name.

    Raises:
        InvalidRequest: there are too many.
    """
    try:
        found = parse_qs(query.decode("latin-1"), max_num_fields=FIELDS_MAX)
    except ValueError:
        raise InvalidRequest(f"the query has more than {FIELDS_MAX} fields") from None
    return {name: values[-1] for name, values in found.items()}


def _limit(asked: dict[str, str]) -> int:
    said = asked.get("limit")
    if said is None:
        return LIMIT
    limit = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidRequest(f"`limit` is from 1 to {LIMIT_MAX}", param="limit")
    return limit


def _place(ids: list[str], wanted: str, param: str) -> int:
    try:
        return ids.index(wanted)
    except ValueError:
        raise InvalidRequest(f"`{param}` is not the id of a model in this list", param=param) from None
