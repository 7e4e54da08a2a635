"""The Batch API of the fault provider: files go up, batches are made of them, answers come down.

A batch stays `in_progress` until `Desk.outcome` says what becomes of it, so that a test decides when; then
its lines are answered, each a `Call` of its own in the truth (`Call.batch`), as a chat completion would be.
"""

import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Literal

from tests.faults import answers
from tests.faults.connection import Incoming
from tests.faults.script import Plan, parse, script_of_model
from tests.faults.truth import Call, Truth

Outcome = Literal["completed", "failed", "expired", "cancelled"]
PATHS: Final = re.compile(r"/v1/(files|batches)(/[^/?]+)?(/content)?(\?.*)?")
BOUNDARY: Final = re.compile(r'multipart/form-data; *boundary="?([^";]+)')


@dataclasses.dataclass(slots=True)
class _Batch:
    wire: dict[str, Any]
    lines: list[dict[str, Any]]


class Refused(Exception):
    """The request is one that no provider takes."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Desk:
    """Files and batches of one provider. `outcome` may be set from any thread."""

    def __init__(self, truth: Truth, on_call: Callable[[Call], str | None]) -> None:
        self.outcome: Outcome | None = None
        """What becomes of every batch that is asked for from now on; None: they go on."""
        self.answered_max = 1_000_000
        """Lines that are answered before a batch expires."""
        self.spoil: Callable[[bytes], bytes] = lambda content: content
        """What becomes of every file of answers."""
        self.listed = True
        self._truth = truth
        self._on_call = on_call
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, _Batch] = {}
        self._guard = threading.Lock()

    @property
    def created(self) -> tuple[dict[str, Any], ...]:
        """Every batch that was created, as the wire has it."""
        with self._guard:
            return tuple(dict(one.wire) for one in self._batches.values())

    def reply(self, request: Incoming) -> bytes:
        """Do what is asked and return the body of the answer.

        Raises:
            Refused: it cannot be done.
        """
        found = PATHS.fullmatch(request.path)
        kind, name, content = ("", None, None) if found is None else found.group(1, 2, 3)
        with self._guard:
            match (request.method, kind, name, content):
                case ("POST", "files", None, None):
                    return self._upload(request)
                case ("GET", "files", str(), str()):
                    return self._file(str(name)[1:])
                case ("POST", "batches", None, None):
                    return self._create(request)
                case ("GET", "batches", None, None):
                    rows = [one.wire for one in self._batches.values()] if self.listed else []
                    return json.dumps({"object": "list", "data": rows[::-1], "has_more": False}).encode()
                case ("GET", "batches", str(), None):
                    return self._state(str(name)[1:])
        raise Refused(404, f"Unknown request URL: {request.method} {request.path}")

    def _upload(self, request: Incoming) -> bytes:
        given = BOUNDARY.match(request.headers.get("content-type", ""))
        if given is None:
            raise Refused(400, "Expected multipart/form-data.")
        fields: dict[str, bytes] = {}
        for part in request.body.split(b"--" + given[1].encode())[1:-1]:
            head, _, value = part.partition(b"\r\n\r\n")
            name = re.search(rb'[; ]name="([^"]+)"', head)
            if name is None or not value.endswith(b"\r\n"):
                raise Refused(400, "A part of the form cannot be read.")
            fields[name[1].decode()] = value[:-2]
        if fields.get("purpose") != b"batch" or "file" not in fields:
            raise Refused(400, "The form needs a purpose and a file.")
        return json.dumps({"id": self._keep(fields["file"]), "object": "file", "purpose": "batch"}).encode()

    def _keep(self, content: bytes) -> str:
        name = f"file-{len(self._files) + 1}"
        self._files[name] = content
        return name

    def _file(self, name: str) -> bytes:
        if name not in self._files:
            raise Refused(404, "No such file.")
        return self._files[name]

    def _create(self, request: Incoming) -> bytes:
        asked = json.loads(request.body)
        if asked["endpoint"] != "/v1/chat/completions" or asked["completion_window"] != "24h":
            raise Refused(400, "Unknown endpoint or completion window.")
        lines = [json.loads(line) for line in self._file(asked["input_file_id"]).splitlines()]
        ids = [line["custom_id"] for line in lines]
        models = {line["body"]["model"] for line in lines}
        if len(set(ids)) != len(ids) or len(models) != 1:
            raise Refused(400, "The ids of a batch differ and its model does not.")
        name = f"batch_{len(self._batches) + 1}"
        wire = {
            "id": name,
            "object": "batch",
            "status": "in_progress",
            "created_at": int(time.time()),
            "metadata": asked.get("metadata"),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
        }
        self._batches[name] = _Batch(wire, lines)
        return json.dumps(wire).encode()

    def _state(self, name: str) -> bytes:
        if name not in self._batches:
            raise Refused(404, "No such batch.")
        batch = self._batches[name]
        if self.outcome is not None and batch.wire["status"] == "in_progress":
            self._finish(name, batch, self.outcome)
        return json.dumps(batch.wire).encode()

    def _finish(self, name: str, batch: _Batch, outcome: Outcome) -> None:
        batch.wire["status"] = outcome
        if outcome == "failed":
            batch.wire["errors"] = {"object": "list", "data": [{"code": "bad", "message": "No such model."}]}
            return
        good, bad = bytearray(), bytearray()
        for index, line in enumerate(batch.lines):
            row: dict[str, Any] = {"id": f"batch_req_{index}", "custom_id": line["custom_id"], "error": None}
            if outcome != "completed" and index >= self.answered_max:
                row |= {"response": None, "error": {"code": f"batch_{outcome}", "message": "Not in time."}}
                bad += json.dumps(row).encode() + b"\n"
                continue
            status, body = self._answer(name, line)
            row["response"] = {"status_code": status, "request_id": f"req_{index}", "body": body}
            (good if status == 200 else bad).extend(json.dumps(row).encode() + b"\n")
        if good:
            batch.wire["output_file_id"] = self._keep(self.spoil(bytes(good)))
        if bad:
            batch.wire["error_file_id"] = self._keep(self.spoil(bytes(bad)))

    def _answer(self, name: str, line: dict[str, Any]) -> tuple[int, Any]:
        """Answer one line as a call of its own, which the truth counts."""
        call = self._truth.open_call()
        body = line["body"]
        call.request_id, call.batch, call.path = line["custom_id"], name, line["url"]
        call.model, call.body = body["model"], json.dumps(body).encode()
        plan: Plan = parse(script_of_model(call.model), self._on_call(call) or "")
        self._truth.start(call)
        call.status, call.finished = plan.status, True
        if plan.status != 200:
            self._truth.end(call)
            return plan.status, answers.error(plan.status, plan.code)
        answer = answers.compose(body, plan, call.id)
        call.prompt_tokens = answer.usage["prompt_tokens"]
        call.completion_tokens = call.tokens_sent = answer.usage["completion_tokens"]
        self._truth.end(call)
        return 200, answers.whole(answer)
