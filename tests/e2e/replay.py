"""Two models whose answers are replayed: whether each is right, question by question, was measured once.

`tests/data/mmlu_two_models.jsonl.xz` has 2,600 short questions of MMLU (Hendrycks et al. 2021, MIT) with
whether Mixtral 8x7B (`weak`) and GPT-4 (`strong`) answered them rightly, as RouteLLM published it (lm-sys,
Apache-2.0). The letters said here are made up: only right and wrong are theirs.
"""

import json
import lzma
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

FILE = Path(__file__).parents[1] / "data" / "mmlu_two_models.jsonl.xz"
LETTERS = "ABCD"
OUTPUT_TOKENS = 3


class Question(NamedTuple):
    text: str
    weak: bool
    strong: bool

    @property
    def right(self) -> str:
        """The answer that is right."""
        return f"The answer is {LETTERS[crc32(self.text.encode()) % 4]}."

    @property
    def wrong(self) -> str:
        return f"The answer is {LETTERS[(crc32(self.text.encode()) + 1) % 4]}."

    def said_by(self, model: str) -> str:
        return self.right if getattr(self, model) else self.wrong


def questions() -> list[Question]:
    """All of them, in the order of the file, which is one of chance."""
    with lzma.open(FILE, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    return [Question(row["prompt"], bool(row["weak"]), bool(row["strong"])) for row in rows]


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # of a busy machine, which accepts late


class Replay:
    """An upstream with the models `weak` and `strong`. What it charges for is counted by itself."""

    def __init__(self, asked: list[Question]) -> None:
        self._answers = {question.text: question for question in asked}
        self.calls: Counter[str] = Counter()
        self.input_tokens: Counter[str] = Counter()
        self.output_tokens: Counter[str] = Counter()
        self.broken = False
        """The weak model has become wrong about everything."""
        self._guard = threading.Lock()
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                raw = json.dumps(replay.reply(body)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, format: str, *args: object) -> None:
                return None

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        model, text = body["model"], body["messages"][-1]["content"]
        question = self._answers[text]
        said = question.wrong if self.broken and model == "weak" else question.said_by(model)
        tokens = len(text) // 4 + 8
        with self._guard:
            self.calls[model] += 1
            self.input_tokens[model] += tokens
            self.output_tokens[model] += OUTPUT_TOKENS
        return {
            "id": "chatcmpl-replay",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
            ],
            "usage": {
                "prompt_tokens": tokens,
                "completion_tokens": OUTPUT_TOKENS,
                "total_tokens": tokens + OUTPUT_TOKENS,
            },
        }

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def replaying(asked: list[Question]) -> Iterator[Replay]:
    """A running `Replay` of `asked`."""
    replay = Replay(asked)
    replay.start()
    try:
        yield replay
    finally:
        replay.close()
