"""Canaries in keys, prompts, error bodies, URLs and proxies, looked for wherever a gateway writes."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.e2e.gateway import COMMAND, ROOT, Reply, Running, running, until
from tests.faults.canned import Asked, Canned, http
from tests.faults.proxy import FaultProxy

from farthing.config import key_digest

OURS = "sk-canary-OURS-4f9Kd72mQx8Lw3Zt-tail"
OTHER = "sk-canary-OTHER-8Hs5Vb2nRy6Jc1Pe-tail"
CLIENT = "sk-farthing-canary-CLIENT-Gz7Ty3Wq9Xm"
NAMED = "canary-NAMED-client-key-Uo4Ia8Ke2"
OPERATOR = "canary-OPERATOR-key-Bn6Mv1Cx5"
PASSWORD = "canary-PROXY-password-Lk9Jh4"
PROMPT = "canaryprompt the patient Ottoline Farquharson has 4711-0815"
SECRETS = {
    "ours": OURS,
    "other": OTHER,
    "client": CLIENT,
    "named": NAMED,
    "operator": OPERATOR,
    "proxy": PASSWORD,
}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def forms(secret: str) -> list[str]:
    """How a provider may print it."""
    return [
        secret,
        f"{secret[:10]}...{secret[-4:]}",
        f"{secret[:9]}{'*' * 12}{secret[-4:]}",
        secret[-14:],
        quote(f"key={secret}", safe=""),
        encoded(f"user:{secret}"),
        f"https://me:{secret}@api.example/v1?api_key={secret}",
    ]


def traces(secret: str) -> list[str]:
    """Any of which shows that a part of it came out. Of the client's key nothing but the digest is known, so
    it is known whole alone; no provider ever sees it."""
    if secret == CLIENT:
        return [CLIENT]
    inside = encoded(f"user:{secret}")[8:24]
    return [secret[8:18], secret[-12:-2], inside, f"{secret[:10]}...", f"{secret[:9]}*"]


def echo(asked: Asked) -> bytes:
    """An error that repeats everything it knows; the prompt says by which status and in which place."""
    body = json.loads(asked.body)
    prompt = body["messages"][-1]["content"]
    how, _, number = prompt.split()[0].partition("-")
    words = f"you sent: {prompt} with {' and '.join(form for one in SECRETS.values() for form in forms(one))}"
    error = {
        "message": words,
        "type": "odd",
        "code": "context_length_exceeded",
        "seen": [asked.headers, prompt],
    }
    lines = (f"x-request-id: {OURS}", f"x-ratelimit-limit-requests: {OURS}")
    if how == "begun":
        chunk = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "begun "}}]}
        events = f"data: {json.dumps(chunk)}\n\ndata: {json.dumps({'error': error})}\n\n"
        return http(200, events.encode(), kind="text/event-stream")
    if how == "event":
        return http(200, f"data: {json.dumps({'error': error})}\n\n".encode(), kind="text/event-stream")
    if how == "answer":
        return http(200, json.dumps({"error": error}).encode(), *lines)
    if how == "plain":
        return http(500, words.encode(), *lines, kind="text/plain")
    if how == "moved":
        return http(307, b"", f"location: https://elsewhere.example/{OURS}/chat/completions?key={OURS}")
    if how == "finish":
        choice = {"index": 0, "message": {"content": "x"}, "finish_reason": f"{prompt} {OURS}"}
        return http(200, json.dumps({"choices": [choice]}).encode())
    return http(int(number or 400), json.dumps({"error": error}).encode(), *lines)


HOWS = [f"status-{n}" for n in (400, 401, 403, 404, 422, 429, 500, 503)]
HOWS += ["answer", "plain", "moved", "finish", "event", "begun"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canaries")


@pytest.fixture(scope="module")
def gateway(folder: Path) -> Iterator[Running]:
    with Canned(echo) as one, Canned(echo) as two, FaultProxy(ports={"far.example": one.port}) as proxy:
        config = f"""
[log]
level = "debug"
[call]
attempts_max = 2
retry_wait_s_max = 0.05
breaker_calls = 1_000
adaptive = false
[admin]
port = 0
key = "${{OPERATOR}}"
[cache.store]
kind = "sqlite"
[[keys]]
tenant = "t"
digest = "{key_digest(CLIENT)}"
[[keys]]
tenant = "named"
key = "${{NAMED}}"
[providers.a]
base_url = "{one.base_url}"
api_key = "${{OURS}}"
[providers.b]
base_url = "{two.base_url}"
api_key = "${{OTHER}}"
auth = "api-key"
[providers.far]
base_url = "http://far.example/v1"
api_key = "${{OTHER}}"
proxy = "${{PROXY}}"
[tiers.one]
targets = ["a/m"]
[tiers.two]
targets = ["a/m", "b/m"]
[tiers.far]
targets = ["far/m"]
[tiers.gone]
targets = ["gone/m"]
[providers.gone]
base_url = "http://127.0.0.1:1/v1"
api_key = "${{OURS}}"
proxy = "${{GONE_PROXY}}"
"""
        env = {"OURS": OURS, "OTHER": OTHER, "OPERATOR": OPERATOR, "NAMED": NAMED}
        env["PROXY"] = f"http://me:{PASSWORD}@127.0.0.1:{proxy.port}"
        env["GONE_PROXY"] = f"http://me:{PASSWORD}@127.0.0.1:1"
        with running(config, folder, env) as started:
            yield started


def ask(gateway: Running, how: str, tier: str) -> Reply:
    return gateway.chat(
        f"{how} {PROMPT}",
        model=tier,
        stream=how in ("event", "begun"),
        headers={"authorization": f"Bearer {CLIENT}"},
        timeout_s=20,
    )


def clean(text: str, where: str, *, prompt: bool = True) -> None:
    for name, secret in SECRETS.items():
        for trace in traces(secret):
            assert trace not in text, (where, name, text[:3_000])
    if prompt:
        for part in ("canaryprompt", "Ottoline", "Farquharson", "4711-0815"):
            assert part not in text, (where, part, text[:3_000])


@pytest.mark.parametrize(
    ("how", "tier"),
    [(how, tier) for how in HOWS for tier in ("one", "two") if how != "finish"]  # that is an answer
    + [("status-400", "far"), ("status-400", "gone")],
)
def test_no_client_is_told_a_secret(gateway: Running, how: str, tier: str) -> None:
    reply = ask(gateway, how, tier)
    clean(f"{reply.headers} {reply.body!r}", f"{how} at {tier}", prompt=False)
    if how in ("status-400", "status-422") and tier == "one":
        assert reply.error["message"].startswith(f"you sent: {how} {PROMPT} with [redacted] and "), reply.body


@pytest.mark.slow
def test_nothing_that_is_left_behind_shows_one(gateway: Running, folder: Path) -> None:
    for how in HOWS:
        for tier in ("one", "two", "gone") if how == "status-400" else ("one",):
            ask(gateway, how, tier)
    failed = [receipt for receipt in gateway.receipts() if receipt.error]
    assert len(failed) > 12
    told = [one for one in failed if "[redacted]" in one.error_message or "[prompt]" in one.error_message]
    assert told
    assert [one for one in told if "answered 400: context_length_exceeded" in one.error_message]
    assert max(len(one.error_message) for one in failed) <= 1_000
    gateway.request("GET", "/metrics/../healthz")
    for path in ("/metrics", "/version", "/readyz"):
        clean(gateway.request("GET", path).body.decode(), path)
    models = gateway.request("GET", "/v1/models", headers={"authorization": f"Bearer {CLIENT}"})
    clean(models.body.decode(), "/v1/models")
    gateway.config.write_text(gateway.config.read_text() + '[tiers.bad]\ntargets = ["nobody/x"]\n')
    until(lambda: "reload refused" in gateway.logged())
    clean(gateway.logged(), "the log")
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in ("farthing.toml", "gateway.log"):
            clean(file.read_bytes().decode("latin-1"), str(file))
    ledger = ["--ledger", str(gateway.state / "ledger")]
    for receipt in failed[:40]:
        clean(command(folder, "explain", receipt.request_id, *ledger), "explain")
    clean(command(folder, "report", *ledger), "report")


def test_check_shows_no_secret(gateway: Running, folder: Path) -> None:
    clean(command(folder, "check", str(gateway.config)), "check")


def test_a_crash_shows_no_secret(tmp_path: Path) -> None:
    """Whatever ends the process is told by the log, which takes secrets out, and not by Python."""
    file = tmp_path / "farthing.toml"
    file.write_text('[providers.a]\nbase_url = "http://127.0.0.1:9/v1"\napi_key = "${OURS}"\n')
    breaks = (
        "import farthing.wiring.process as g\n"
        "def run(self, ready=None): raise RuntimeError('at http://u:' + self._env['OURS'] + '@host')\n"
        "g.Gateway.run = run\n"
        "from farthing.cli.main import main; main()\n"
    )
    env = {
        **os.environ,
        "OURS": OURS,
        "PYTHONPATH": str(ROOT / "src"),
        "FARTHING__STATE_DIR": str(tmp_path / "s"),
    }
    ended = subprocess.run(
        [COMMAND[0], "-c", breaks, "serve", "--config", str(file), "--port", "0"],
        capture_output=True,
        text=True,
        env=env,
        timeout=60,
    )
    assert ended.returncode == 1 and "stopped by a fault of ours" in ended.stderr, ended.stderr
    assert "RuntimeError: at http://[redacted]@host" in ended.stderr.replace("\\n", "\n")
    clean(ended.stdout + ended.stderr, "the crash")


def command(folder: Path, *arguments: str) -> str:
    env = {**os.environ, "OURS": OURS, "OTHER": OTHER, "OPERATOR": OPERATOR, "NAMED": NAMED}
    env |= {"PROXY": f"http://me:{PASSWORD}@h:1", "GONE_PROXY": f"http://me:{PASSWORD}@h:1"}
    ended = subprocess.run(
        [*COMMAND[:-1], *arguments], capture_output=True, text=True, cwd=folder, env=env, timeout=60
    )
    assert ended.stdout or ended.stderr
    return ended.stdout + ended.stderr
