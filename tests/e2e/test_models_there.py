"""What providers have, against what tiers name; a price list that is fetched; and targets that are known not
to take a request."""

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.e2e.gateway import running, until
from tests.e2e.test_zero_configuration import Scripted, environment, found, listing, scripted

ASKS = {"FARTHING__CALL__ASK_MODELS": "true"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}


def provider(name: str, server: Scripted) -> str:
    return f'[providers.{name}]\nbase_url = "http://127.0.0.1:{server.port}/v1"\nauth = "none"\n'


def command(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "farthing", *args],
        cwd=folder,
        env=environment(folder, env),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_tier_that_names_what_its_provider_does_not_list_is_told_of_at_the_start(tmp_path: Path) -> None:
    with scripted(listing("gpt-5-mini", "gpt-5", "a", "b")) as server:
        tiers = '[tiers.cheap]\ntargets = ["corp/gpt-5-mini"]\n[tiers.expensive]\ntargets = ["corp/gpt-9"]\n'
        with running(provider("corp", server) + tiers, tmp_path, ASKS) as gateway:
            until(lambda: "does not list gpt-9" in gateway.logged())
            assert "tiers.expensive.targets: corp does not list gpt-9, and is asked" in gateway.logged()
            assert "it lists gpt-5-mini, gpt-5, a and 1 more" in gateway.logged()
            assert "does not list gpt-5-mini" not in gateway.logged()
            assert gateway.chat("q", model="expensive").status == 200  # asked all the same
        assert server.chats == ["gpt-9"]


def test_a_reload_tells_only_of_what_is_new(tmp_path: Path) -> None:
    with scripted(listing("gpt-5")) as server:
        tiers = '[tiers.cheap]\ntargets = ["corp/gpt-8"]\n'
        with running(provider("corp", server) + tiers, tmp_path, ASKS) as gateway:
            until(lambda: "does not list gpt-8" in gateway.logged())
            more = '[tiers.expensive]\ntargets = ["corp/gpt-9"]\n'
            gateway.config.write_text(provider("corp", server) + tiers + more)
            until(lambda: "does not list gpt-9" in gateway.logged())
            assert gateway.logged().count("does not list gpt-8") == 1


@pytest.mark.parametrize("page", [None, (401, {}), (200, {"data": []}), (500, {})], ids=repr)
def test_a_provider_that_lists_nothing_is_not_doubted(tmp_path: Path, page: Any) -> None:
    with scripted({"/v1/models": page} if page else {}) as server:
        tiers = '[tiers.cheap]\ntargets = ["corp/gpt-9"]\n'
        with running(provider("corp", server) + tiers, tmp_path, ASKS) as gateway:
            until(lambda: any(path == "/v1/models" for path, _, _ in server.asked))
            assert gateway.chat("q", model="cheap").status == 200
            if page == (401, {}):
                until(lambda: "refused our key" in gateway.logged())
        assert "does not list" not in gateway.logged()
        assert ("refused our key" in gateway.logged()) is (page == (401, {}))


def test_a_provider_that_does_not_answer_holds_up_nothing(tmp_path: Path) -> None:
    with scripted({}, delay_s=30.0) as server:
        tiers = '[tiers.cheap]\ntargets = ["corp/gpt-9"]\n'
        with running(provider("corp", server) + tiers, tmp_path, ASKS) as gateway:
            assert gateway.chat("q", model="cheap").status == 200


def test_the_check_asks_only_when_told_to(tmp_path: Path) -> None:
    with scripted(listing("gpt-5")) as server:
        file = tmp_path / "f.toml"
        file.write_text(provider("corp", server) + '[tiers.cheap]\ntargets = ["corp/gpt-9"]\n')
        assert "does not list" not in command(tmp_path, "check", str(file)).stderr
        assert server.asked == []
        told = command(tmp_path, "check", "--ask", str(file))
        assert told.returncode == 0 and "warning" in told.stderr and "does not list gpt-9" in told.stderr


def test_what_is_here_is_what_providers_list(tmp_path: Path) -> None:
    with scripted(listing("gpt-5.2", "house-model")) as server:
        file = tmp_path / "f.toml"
        file.write_text(provider("openai", server))
        told = command(tmp_path, "models", "--here", "--json", "--config", str(file))
        listed = {one["name"]: one for one in json.loads(told.stdout)["models"]}
        assert sorted(listed) == ["openai/gpt-5.2", "openai/house-model"]
        assert listed["openai/gpt-5.2"]["usd_per_million_tokens"]["input"] == 1.75
        assert listed["openai/house-model"]["usd_per_million_tokens"] is None


def test_a_corporate_endpoint_is_asked_what_it_has_and_no_other_model_is_chosen(tmp_path: Path) -> None:
    has = ("gpt-4o-mini", "corp-embed", "gpt-4.1")
    with scripted(listing(*has)) as server:
        env = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": f"http://127.0.0.1:{server.port}/v1"}
        with found(tmp_path, env) as (gateway, told):
            assert "corp-embed" not in told.partition("cheap =")[2]
            for tier in ("cheap", "expensive", "auto"):
                assert gateway.chat("q", model=tier).status == 200
        assert set(server.chats) <= set(has) and "corp-embed" not in server.chats


def test_a_target_that_is_known_to_take_no_image_is_passed_over_unless_the_client_names_it(
    tmp_path: Path,
) -> None:
    with scripted({}) as server:
        text = provider("openai", server) + '[tiers.t]\ntargets = ["openai/o3-mini", "openai/gpt-4o"]\n'
        question = {"messages": [{"role": "user", "content": [IMAGE, {"type": "text", "text": "?"}]}]}
        with running(text, tmp_path) as gateway:
            assert gateway.post("/v1/chat/completions", {"model": "t", **question}).status == 200
            assert server.chats == ["gpt-4o"]
            assert gateway.chat("q", model="t").status == 200
            assert server.chats == ["gpt-4o", "o3-mini"]
            assert gateway.post("/v1/chat/completions", {"model": "openai/o3-mini", **question}).status == 200
            assert server.chats[-1] == "o3-mini"
            row = gateway.receipts()[0]
            assert row.skipped == {"openai/o3-mini": "cannot_say"}


@contextmanager
def https(folder: Path, pages: dict[str, tuple[int, bytes]]) -> Iterator[str]:
    """A server of these pages; its authority is in `folder/ca.pem`."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            return

        def do_GET(self) -> None:
            status, body = pages.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_list_is_fetched_used_from_the_next_start_and_taken_back(tmp_path: Path) -> None:
    rows = [{"provider": "p", "model": f"m{n}", "prices": [{"in": 10, "out": 20}]} for n in range(120)]
    good = "\n".join(map(json.dumps, rows)).encode()
    pages = {"/list?v=1": (200, good), "/bad": (200, b"<html>"), "/big": (200, b" " * 17_000_000)}
    with https(tmp_path, pages) as url:
        env = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}
        told = command(tmp_path, "models", "refresh", "--url", f"{url}/list?v=1", **env)
        assert told.returncode == 0, told.stderr
        assert "120 models in" in told.stdout and "fetched from 127.0.0.1" in told.stdout
        assert "take it back" in told.stdout
        listed = json.loads(command(tmp_path, "models", "--json").stdout)
        assert len(listed["models"]) == 120 and "fetched from 127.0.0.1" in listed["version"]
        for page, why in (("bad", "neither our price list"), ("big", ""), ("gone", "status 404")):
            refused = command(tmp_path, "models", "refresh", "--url", f"{url}/{page}", **env)
            assert refused.returncode == 1 and why in refused.stderr, refused.stderr
            assert "Traceback" not in refused.stderr
        assert len(json.loads(command(tmp_path, "models", "--json").stdout)["models"]) == 120
        untrusted = command(tmp_path, "models", "refresh", "--url", f"{url}/list?v=1")
        assert untrusted.returncode == 1 and "certificate" in untrusted.stderr
        configured = tmp_path / "f.toml"
        configured.write_text(
            f'catalogue_url = "{url}/list?v=1"\n[providers.p]\nbase_url = "http://x.test/v1"\n'
        )
        again = command(tmp_path, "models", "refresh", "--json", "--config", str(configured), **env)
        assert json.loads(again.stdout)["models"] == 120, again.stderr
    assert "is gone" in command(tmp_path, "models", "refresh", "--forget").stdout
    assert len(json.loads(command(tmp_path, "models", "--json").stdout)["models"]) > 2_000
