"""A page of another origin may call where `server.cors_origins` lists it: the preflight, and a browser's own.

The browser runs OpenAI's client for Node as it stands, whose headers make every call one that a browser asks
leave for. `make conformance` starts it; the preflight below has the headers that it sent.
"""

import functools
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import StartGateway
from tests.e2e.gateway import Running
from tests.faults.provider import FaultProvider

OPENAI = Path(__file__).parent / "node" / "node_modules" / "openai"
HEADERS = (
    "authorization,content-type,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
    "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
)
PAGE = """<!doctype html><title>page</title><script type="module">
import OpenAI from "/openai/index.mjs";
const found = {};
try {
  const base = new URLSearchParams(location.search).get("base");
  const client = new OpenAI({apiKey: "any", baseURL: base, dangerouslyAllowBrowser: true, maxRetries: 0});
  const asked = {model: "a/good", messages: [{role: "user", content: "from a page"}]};
  const {data, response} = await client.chat.completions.create(asked).withResponse();
  found.whole = data.choices[0].message.content;
  found.target = response.headers.get("x-farthing-model");
  found.streamed = "";
  for await (const chunk of await client.chat.completions.create({...asked, stream: true}))
    found.streamed += chunk.choices[0]?.delta?.content ?? "";
  try { await client.chat.completions.create({...asked, model: "a/fault:status=400,code=odd"}); }
  catch (error) { found.refused = [error.status, error.code]; }
} catch (error) { found.error = String(error); }
await fetch("/found", {method: "POST", body: JSON.stringify(found)});
</script>"""


class Pages(SimpleHTTPRequestHandler):
    """Serves the page and the client's own files, and takes what the page found."""

    def __init__(self, found: "queue.Queue[Any]", *arguments: Any) -> None:
        self._found = found
        super().__init__(*arguments, directory=str(OPENAI.parent))

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/":
            return super().do_GET()
        raw = PAGE.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_POST(self) -> None:
        self._found.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def found() -> "queue.Queue[Any]":
    return queue.Queue()


@pytest.fixture(scope="module")
def page(found: "queue.Queue[Any]") -> Iterator[str]:
    """The origin of a page on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, found)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def gateway(start_gateway: StartGateway, upstream: FaultProvider, page: str) -> Running:
    return start_gateway(f"""
[server]
cors_origins = ["{page}"]
[providers.a]
base_url = "{upstream.base_url}"
""")


def preflight(gateway: Running, origin: str) -> Any:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": HEADERS,
    }
    return gateway.request("OPTIONS", "/v1/chat/completions", headers=asked)


def test_a_page_that_is_listed_may_ask_with_every_header_of_the_client(gateway: Running, page: str) -> None:
    leave = preflight(gateway, page)
    assert leave.status in (200, 204)
    assert leave.headers["access-control-allow-origin"] == page
    assert "POST" in leave.headers["access-control-allow-methods"]
    allowed = {name.strip() for name in leave.headers["access-control-allow-headers"].lower().split(",")}
    assert set(HEADERS.split(",")) <= allowed


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["a/good", "a/fault:status=400"])
def test_its_answers_and_its_errors_can_be_read_by_the_page(
    gateway: Running, page: str, model: str, stream: bool
) -> None:
    reply = gateway.chat(model=model, stream=stream, headers={"origin": page})
    assert reply.headers["access-control-allow-origin"] == page
    exposed = {name.strip() for name in reply.headers["access-control-expose-headers"].lower().split(",")}
    assert "*" in exposed or {"x-request-id", "x-farthing-model"} <= exposed


def test_another_page_may_not(gateway: Running) -> None:
    for origin in ("http://elsewhere.test", "null", "http://127.0.0.1"):
        leave = preflight(gateway, origin)
        assert leave.headers.get("access-control-allow-origin") is None
        assert gateway.chat(headers={"origin": origin}).headers.get("access-control-allow-origin") is None


@pytest.mark.conformance
@pytest.mark.timeout(180)
def test_a_real_browser_runs_the_client_against_it(
    gateway: Running, page: str, found: "queue.Queue[Any]", tmp_path: Path
) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((path for path in map(shutil.which, names) if path), None)
    assert browser is not None, "`make conformance` installs it: tools/install_clients.sh conformance"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command = [browser, *options, f"--user-data-dir={tmp_path}", f"{page}/?base={gateway.base_url}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        seen = found.get(timeout=120.0)
    finally:
        process.terminate()
        process.wait(60.0)
    assert seen == {
        "whole": "echo: from a page",
        "target": "a/good",
        "streamed": "echo: from a page",
        "refused": [400, "odd"],
    }
