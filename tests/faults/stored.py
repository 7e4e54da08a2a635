"""The chat completions that the fault provider keeps, and what may be asked of them, as at OpenAI.

One account has all of them, whoever asked: its list has no tenants.
"""

import json
import threading
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from tests.faults.batches import Refused
from tests.faults.connection import Incoming
from tests.faults.said import Json

ROOT: Final = "/v1/chat/completions"
LIST_MAX: Final = 100
KEPT_MAX: Final = 10_000
PAIRS_MAX: Final = 16


class Shelf:
    """Stored completions of one provider. Every member may be used from any thread."""

    def __init__(self) -> None:
        self._kept: dict[str, Json] = {}
        self._messages: dict[str, list[Json]] = {}
        self._guard = threading.Lock()

    @property
    def ids(self) -> tuple[str, ...]:
        """Of all that are kept, the oldest first."""
        with self._guard:
            return tuple(self._kept)

    def keep(self, body: Json, answer: Json) -> None:
        """Keep the whole answer to `body`."""
        with self._guard:
            id = answer["id"]
            self._kept[id] = answer | {"metadata": body.get("metadata") or {}}
            given = enumerate(body.get("messages") or [])
            self._messages[id] = [
                {**one, "id": f"{id}-{number}", "content_parts": None} for number, one in given
            ]
            while len(self._kept) > KEPT_MAX:
                self._forget(next(iter(self._kept)))

    def forget(self, id: str) -> None:
        """As somebody may in the provider's own pages."""
        with self._guard:
            self._forget(id)

    def takes(self, request: Incoming) -> bool:
        """Whether it is asked about what is kept."""
        path = request.path.partition("?")[0]
        return path.startswith(f"{ROOT}/") or (path == ROOT and request.method == "GET")

    def reply(self, request: Incoming) -> bytes:
        """Do what is asked and return the body of the answer.

        Raises:
            Refused: it cannot be done.
        """
        path, _, query = request.path.partition("?")
        id, _, below = path.removeprefix(ROOT).removeprefix("/").partition("/")
        asked = dict(parse_qsl(query, keep_blank_values=True))
        with self._guard:
            match request.method, bool(id), below:
                case "GET", False, "":
                    return _encode(self._list(asked))
                case "GET", True, "":
                    return _encode(self._one(id))
                case "POST", True, "":
                    return _encode(self._update(id, request))
                case "DELETE", True, "":
                    gone = self._one(id)["id"]
                    self._forget(gone)
                    return _encode({"object": "chat.completion.deleted", "id": gone, "deleted": True})
                case "GET", True, "messages":
                    return _encode(_page(self._messages[self._one(id)["id"]], asked))
        raise Refused(405, f"Not allowed: {request.method} {path}")

    def _forget(self, id: str) -> None:
        self._kept.pop(id, None)
        self._messages.pop(id, None)

    def _one(self, id: str) -> Json:
        found = self._kept.get(unquote(id))
        if found is None:
            raise Refused(404, f"Chat completion {unquote(id)} not found.")
        return found

    def _update(self, id: str, request: Incoming) -> Json:
        found = self._one(id)
        body = _decoded(request.body)
        if body is None or body.keys() != {"metadata"}:
            raise Refused(400, "Only `metadata` may be changed.")
        metadata = {} if body["metadata"] is None else body["metadata"]
        if not isinstance(metadata, dict) or len(metadata) > PAIRS_MAX:
            raise Refused(400, "`metadata` is an object of at most 16 pairs.")
        found["metadata"] = metadata
        return found

    def _list(self, asked: dict[str, str]) -> Json:
        labels = {name[9:-1]: value for name, value in asked.items() if name.startswith("metadata[")}
        rows = [
            one
            for one in self._kept.values()
            if labels.items() <= one["metadata"].items() and asked.get("model", one["model"]) == one["model"]
        ]
        return _page(rows, asked)


def _page(rows: list[Json], asked: dict[str, str]) -> Json:
    rows = rows[::-1] if asked.get("order") == "desc" else rows
    ids = [one["id"] for one in rows]
    if "after" in asked:
        if asked["after"] not in ids:
            raise Refused(404, f"There is no {asked['after']}.")
        rows = rows[ids.index(asked["after"]) + 1 :]
    limit = int(asked.get("limit", "20"))
    if not 1 <= limit <= LIST_MAX:
        raise Refused(400, "`limit` must be 1 to 100.")
    data = rows[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(rows) > limit,
    }


def _encode(value: Json) -> bytes:
    return json.dumps(value).encode()


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
