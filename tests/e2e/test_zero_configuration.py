"""`farthing serve` without a file: what it finds is asked what it has, and a person is told the truth."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.gateway import COMMAND, LIMIT_S, ROOT, Running

ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
}

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 2},
}
CHATS = {"/chat/completions": ANSWER, "/messages": MESSAGE}
"""What is answered at a path with this end."""


class Scripted(ThreadingHTTPServer):
    """Answers each path with its page (status and JSON), chats with `CHATS`, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, pages: Mapping[str, Any], delay_s: float = 0.0) -> None:
        self.pages = pages
        self.wait = threading.Event()
        self.delay_s = delay_s
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # whoever asked did not wait

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def chats(self) -> list[str]:
        """The models that were asked to chat."""
        return [body["model"] for path, _, body in self.asked if path.endswith(tuple(CHATS))]


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        self._reply(None)

    def do_POST(self) -> None:
        self._reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

    def _reply(self, body: Any) -> None:
        server = self.server
        server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        page = server.pages.get(self.path.partition("?")[0])
        if callable(page):
            page = page(body)
        chat = next((answer for end, answer in CHATS.items() if self.path.endswith(end)), None)
        if page is None and chat is not None:
            page = chat
        elif server.delay_s:
            server.wait.wait(server.delay_s)
        status, said = page if isinstance(page, tuple) else (200 if page is not None else 404, page)
        raw = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def scripted(pages: Mapping[str, Any], delay_s: float = 0.0) -> Iterator[Scripted]:
    server = Scripted(pages, delay_s)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.wait.set()
        server.shutdown()
        thread.join()
        server.server_close()


def listing(*names: str) -> Mapping[str, Any]:
    return {"/v1/models": {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}}


def tag(name: str, size: int = 4_000_000_000, family: str = "qwen3", **more: Any) -> dict[str, Any]:
    details = {"family": family, "families": [family]}
    return {"name": name, "model": name, "size": size, "digest": "ab" * 32, "details": details, **more}


def ollama(*tags: dict[str, Any]) -> Mapping[str, Any]:
    return {"/api/version": {"version": "0.12.3"}, "/api/tags": {"models": list(tags)}}


CLOUD = tag("gpt-oss:120b-cloud", 384, remote_model="gpt-oss:120b", remote_host="https://ollama.com:443")


def environment(folder: Path, env: Mapping[str, str]) -> dict[str, str]:
    """No key and no file of the machine that runs this, and nothing beyond the loopback."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    own = {"HOME": str(folder), "PYTHONPATH": str(ROOT / "src"), "FARTHING__STATE_DIR": str(folder / "state")}
    return {**kept, **own, **env}


def refused_start(folder: Path, env: Mapping[str, str]) -> str:
    """What it says when it does not start."""
    ran = subprocess.run(
        [*COMMAND, "--port", "0"],
        cwd=folder,
        env=environment(folder, env),
        capture_output=True,
        timeout=LIMIT_S,
    )
    assert ran.returncode == 2, ran
    return ran.stderr.decode()


@contextmanager
def found(folder: Path, env: Mapping[str, str]) -> Iterator[tuple[Running, str]]:
    """A gateway without a file, and what it printed until it was ready."""
    log = folder / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*COMMAND, "--port", "0"],
            cwd=folder,
            env=environment(folder, env),
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    watchdog = threading.Timer(LIMIT_S, process.kill)
    watchdog.start()
    try:
        told = ""
        port = 0
        for raw in process.stdout:
            line = raw.decode()
            told += line
            if line.startswith("base URL"):
                port = int(line.rpartition(":")[2].removesuffix("/v1\n"))
            if line.startswith("          model="):
                break
        assert port, told + log.read_text()
        rows = [row for row in told.splitlines() if not row.startswith(("try", "data", "  "))]
        assert all(len(row) <= 80 for row in rows), told
        told = told.replace("\n          ", "\n").replace("\n  ", " ")  # rows of one line
        yield Running(process, port, folder / "state", folder, log), told
        assert "Traceback" not in log.read_text()
    finally:
        watchdog.cancel()
        process.terminate()
        process.wait(LIMIT_S)
        process.stdout.close()


def ids(gateway: Running) -> list[str]:
    return [entry["id"] for entry in gateway.request("GET", "/v1/models").json["data"]]


@contextmanager
def two_providers(
    folder: Path, openai: Mapping[str, Any], anthropic: Mapping[str, Any], **more: str
) -> Iterator[tuple[Scripted, Scripted, Running, str]]:
    with ExitStack() as stack:
        one = stack.enter_context(scripted(openai))
        two = stack.enter_context(scripted(anthropic))
        env = {
            "OPENAI_API_KEY": "sk-one",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{one.port}/v1",
            "ANTHROPIC_API_KEY": "sk-two",
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{two.port}",
            **more,
        }
        gateway, told = stack.enter_context(found(folder, env))
        yield one, two, gateway, told


OPENAI = listing("gpt-5-mini", "gpt-5-mini-2025-08-07", "gpt-5", "text-embedding-3-small", "whisper-1")
ANTHROPIC = listing("claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "claude-opus-4-5-20251101")


def test_two_keys_together_take_the_models_of_both_by_their_bare_names(tmp_path: Path) -> None:
    with two_providers(tmp_path, OPENAI, ANTHROPIC) as (openai, anthropic, gateway, _):
        for model, where in (
            ("gpt-5-mini", openai),
            ("claude-sonnet-4-5", anthropic),
            ("claude-sonnet-4-5-20250929", anthropic),
            ("openai/gpt-5-mini", openai),
            ("GPT-5-Mini", openai),
        ):
            before = len(where.chats)
            assert gateway.chat(f"ask {model}", model=model).status == 200, model
            assert len(where.chats) == before + 1, model
        assert openai.chats == ["gpt-5-mini"] * 3
        assert anthropic.chats == ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"]
        path, headers, _ = anthropic.asked[-1]
        assert path == "/v1/messages" and headers["x-api-key"] == "sk-two"
        lost = gateway.chat(model="gpt-5-mni")
        assert (lost.status, lost.error["code"]) == (404, "model_not_found")
        assert "openai/gpt-5-mini" in lost.error["message"]


def test_each_provider_is_asked_in_its_own_way_which_models_the_key_sees(tmp_path: Path) -> None:
    with two_providers(tmp_path, OPENAI, ANTHROPIC) as (openai, anthropic, gateway, told):
        path, headers, _ = openai.asked[0]
        assert path == "/v1/models" and headers["authorization"] == "Bearer sk-one"
        path, headers, _ = anthropic.asked[0]
        assert path == "/v1/models?limit=1000"
        assert headers["x-api-key"] == "sk-two" and "anthropic-version" in headers
        assert "cheap = openai/gpt-5-mini" in told
        assert "expensive = openai/gpt-5 (" in told and "anthropic/claude-opus-4-5-20251101" in told
        assert "sk-" not in told + gateway.logged()
        listed = ids(gateway)
        assert listed[:3] == ["auto", "cheap", "expensive"]
        assert {"gpt-5-mini-2025-08-07", "claude-sonnet-4-5-20250929", "text-embedding-3-small"} <= set(
            listed
        )
        assert "whisper-1" not in listed and len(listed) == len(set(listed))
        for name in listed:
            path = "/v1/embeddings" if "embedding" in name else "/v1/chat/completions"
            body = {"model": name, "input": "x", "messages": [{"role": "user", "content": f"to {name}"}]}
            assert gateway.post(path, body).json.get("error", {}).get("code") != "model_not_found", name


def test_a_key_that_is_refused_is_said_and_its_provider_is_in_no_tier(tmp_path: Path) -> None:
    refused = {"/v1/models": (401, {"error": {"message": "no"}})}
    with two_providers(tmp_path, refused, ANTHROPIC) as (_, _, gateway, told):
        (line,) = [
            one for one in told.replace("\n  ", " ").splitlines() if "OPENAI_API_KEY was refused" in one
        ]
        assert "(401) by openai at http://127.0.0.1:" in line and "which is in no tier: set" in line
        assert "cheap = anthropic/claude-haiku-4-5-20251001" in told
        assert gateway.chat().status == 200


def test_a_refused_key_alone_is_no_start(tmp_path: Path) -> None:
    with scripted({"/v1/models": (401, {"error": {"message": "no"}})}) as openai:
        env = {"OPENAI_API_KEY": "sk-one", "OPENAI_BASE_URL": f"http://127.0.0.1:{openai.port}/v1"}
        said = refused_start(tmp_path, env)
        place = env["OPENAI_BASE_URL"]
        assert f"error: OPENAI_API_KEY was refused (401) by openai at {place}" in said
        assert "set the variable to a key that is valid there, or unset it" in said
        assert "no provider key that is taken; go on with" in said and "export OPENAI_API_KEY=…" in said
        assert "no configuration, provider key or local" not in said and "sk-one" not in said


@pytest.mark.parametrize(
    "pages",
    [
        {"/v1/models": (403, {"error": {"message": "missing scope"}})},
        {"/v1/models": (500, {})},
        {"/v1/models": "nonsense"},
        {"/v1/models": {"data": [{"id": 7}, None]}},
        {},
    ],
)
def test_a_provider_that_does_not_list_is_chosen_from_by_the_price_list(tmp_path: Path, pages: Any) -> None:
    with scripted(pages) as openai:
        env = {"OPENAI_API_KEY": "sk-one", "OPENAI_BASE_URL": f"http://127.0.0.1:{openai.port}/v1"}
        with found(tmp_path, env) as (gateway, told):
            assert "openai did not list its models" in told and "chosen from the price list" in told
            assert gateway.chat().status == 200 and openai.chats


def test_a_provider_that_is_slow_to_list_holds_up_the_start_for_two_seconds(tmp_path: Path) -> None:
    with scripted({}, delay_s=LIMIT_S) as openai:
        env = {"OPENAI_API_KEY": "sk-one", "OPENAI_BASE_URL": f"http://127.0.0.1:{openai.port}/v1"}
        with found(tmp_path, env) as (gateway, told):
            assert "no answer in 2 s" in told or "in time" in told
            assert gateway.chat().status == 200


def test_an_account_that_sees_none_of_the_newest_models_gets_those_it_sees(tmp_path: Path) -> None:
    with scripted(listing("gpt-4o", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "dall-e-3")) as openai:
        env = {"OPENAI_API_KEY": "sk-one", "OPENAI_BASE_URL": f"http://127.0.0.1:{openai.port}/v1"}
        with found(tmp_path, env) as (_, told):
            assert "cheap = openai/gpt-4o-mini (" in told and "expensive = openai/gpt-4o (" in told
            assert "this key sees none of its newest" in told


def test_deployments_are_priced_by_the_models_they_are_of(tmp_path: Path) -> None:
    deployments = [
        {"id": "small-one", "model": "gpt-5-mini", "object": "deployment"},
        {"id": "big-one", "model": "gpt-5", "object": "deployment"},
        {"id": "vectors", "model": "text-embedding-3-small", "object": "deployment"},
    ]
    with scripted({"/openai/deployments": {"data": deployments}}) as azure:
        env = {"AZURE_OPENAI_API_KEY": "sk", "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{azure.port}"}
        with found(tmp_path, env) as (gateway, told):
            assert azure.asked[0][1]["api-key"] == "sk"
            assert "cheap = azure/small-one ($" in told and "expensive = azure/big-one ($" in told
            reply = gateway.chat(model="small-one")
            assert reply.status == 200 and float(reply.headers["x-farthing-cost-usd"]) > 0


def test_a_model_of_ollamas_cloud_is_no_local_one(tmp_path: Path) -> None:
    tags = [CLOUD, tag("qwen3:4b", 2_600_000_000), tag("kimi-k2:cloud")]
    with ExitStack() as stack:
        server = stack.enter_context(scripted(ollama(*tags)))
        gateway, told = stack.enter_context(found(tmp_path, {"OLLAMA_HOST": f"127.0.0.1:{server.port}"}))
        assert "cheap = ollama/qwen3:4b: local, counted as 0" in told
        assert "expensive = ollama/qwen3:4b: local too" in told
        assert "ollama/gpt-oss:120b-cloud, ollama/kimi-k2:cloud: not local, runs at ollama.com" in told
        assert "prompts leave this machine" in told
        assert gateway.chat().headers["x-farthing-cost-usd"] == "0.000000000"
        for name in ("ollama/gpt-oss:120b-cloud", "gpt-oss:120b-cloud"):
            reply = gateway.chat(f"by {name}", model=name)
            assert reply.status == 200 and reply.headers["x-farthing-cost-usd"] in ("", "unknown")
        assert "gpt-oss:120b-cloud" in ids(gateway)


def test_with_models_of_the_cloud_alone_nothing_is_chosen_for_anybody(tmp_path: Path) -> None:
    with (
        scripted(ollama(CLOUD)) as server,
        found(tmp_path, {"OLLAMA_HOST": f":{server.port}"}) as (gateway, told),
    ):
        assert "cheap =" not in told and "expensive =" not in told and "counted as 0" not in told
        assert "no tier: `auto` has nothing to choose from" in told
        assert '"model": "ollama/gpt-oss:120b-cloud"' in told
        assert gateway.chat().status == 404 and not server.chats
        assert gateway.chat(model="ollama/gpt-oss:120b-cloud").status == 200
        assert ids(gateway) == ["gpt-oss:120b-cloud"]


def test_what_embeds_is_no_chat_model_whatever_it_is_called(tmp_path: Path) -> None:
    shown = {
        "mute": {"capabilities": ["embedding"]},
        "talks-embed": {"capabilities": ["completion", "tools"]},
    }

    def show(body: Any) -> Any:
        return shown.get(body["model"])

    tags = [
        tag("paraphrase-multilingual", 500, family="bert"),
        tag("eclipse-chat:7b", 4_000),
        tag("mute", 300),
        tag("talks-embed", 5_000),
        tag("llama-guard3", 200),
    ]
    pages = {**ollama(*tags), "/api/show": show}
    with (
        scripted(pages) as server,
        found(tmp_path, {"OLLAMA_HOST": f"http://localhost:{server.port}"}) as (g, told),
    ):
        assert "cheap = ollama/eclipse-chat:7b, ollama/talks-embed: local" in told
        g.post("/v1/embeddings", {"model": "paraphrase-multilingual", "input": "x"})
        path, _, body = server.asked[-1]
        assert (path, body["model"]) == ("/v1/embeddings", "paraphrase-multilingual")


def test_an_ollama_host_where_nothing_answers_is_said(tmp_path: Path) -> None:
    said = refused_start(tmp_path, {"OLLAMA_HOST": "127.0.0.1:9"})
    assert "OLLAMA_HOST: no model server answers at http://127.0.0.1:9" in said
    assert "OLLAMA_HOST is left out" in refused_start(tmp_path, {"OLLAMA_HOST": "ftp://host"})


# -- written down --------------------------------------------------------------------------------------


def init(folder: Path, env: Mapping[str, str], *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND[:-1], "init", *args],
        cwd=folder,
        env=environment(folder, env),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )


def set_up(gateway: Running) -> tuple[Any, list[str]]:
    return gateway.request("GET", "/version").json["policy"], ids(gateway)


def test_what_is_found_can_be_written_down_and_serving_the_file_is_the_same(tmp_path: Path) -> None:
    with scripted(OPENAI) as openai, scripted(ollama(tag("qwen3:4b"), CLOUD)) as local:
        env = {
            "OPENAI_API_KEY": "sk-canary",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{openai.port}/v1",
            "OLLAMA_HOST": f"127.0.0.1:{local.port}",
        }
        with found(tmp_path, env) as (gateway, _):
            without_a_file = set_up(gateway)
        wrote = init(tmp_path, env)
        assert wrote.returncode == 0, wrote.stderr
        text = (tmp_path / "farthing.toml").read_text()
        with found(tmp_path, env) as (gateway, told):
            assert "configuration farthing.toml" in told
            assert set_up(gateway) == without_a_file
        assert "canary" not in text and 'api_key = "${OPENAI_API_KEY}"' in text
        assert "# found openai at" in text and "# cheap = " in text
        # Defaults are left out, so that what stands there is what there is to edit.
        assert "[server]" not in text and "connections_max" not in text
        assert init(tmp_path, env, "-").stdout == text
        again = init(tmp_path, env)
        assert again.returncode == 2 and "exists and is left as it is" in again.stderr
        assert (tmp_path / "farthing.toml").read_text() == text


def test_where_nothing_is_found_nothing_is_written(tmp_path: Path) -> None:
    told = init(tmp_path, {"OLLAMA_HOST": "127.0.0.1:1"}, "mine.toml")
    if told.returncode == 0:
        pytest.skip("a model server runs on this machine")
    assert told.returncode == 2 and "nothing to answer with" in told.stderr
    assert not (tmp_path / "mine.toml").exists()
