"""The processes of the demo: the simulated models, and the gateway as anyone would start it."""

import asyncio
import os
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from farthing.config import ENV_PREFIX, key_digest, toml
from farthing.demo import traffic
from farthing.demo.upstream import TIERS, Bill
from farthing.errors import ConfigError, FarthingError
from farthing.models.embed.session import require

START_S = 60.0  # a busy machine with cold files; some 1 s otherwise
STOP_S = 10.0
LOG = "gateway.log"
UPSTREAM_LOG = "simulated.log"
SEMANTIC_PACKAGES = ("numpy", "onnxruntime", "tokenizers", "numkong")
THRESHOLD = 0.95  # a certificate takes audits older than a quarter of an hour; this is set by hand, and said
FALSE_HITS_MAX = 0.05
AUDIT_SHARE = 0.1
BRAIN_S = 2.0  # some 100 times what a look-up takes on an idle machine
BRAIN_S_MAX = 10.0
READY_S = 60.0  # loading the embedder takes about one
TARGET_S = 5.0  # what the endpoint's contract asks for, and the report shows

SemanticMode = Literal["off", "observe", "on"]


class DemoFailed(FarthingError):
    """The demo cannot go on."""

    code = "demo_failed"


class Upstream(Struct):
    """The simulated models, in one process with a port for each."""

    ports: dict[str, int]
    bill: dict[str, Bill] = {}
    """Per tier, what they counted. Empty until they have stopped."""


class Served(Struct, frozen=True):
    """A gateway that takes requests."""

    port: int
    pid: int


def keys() -> dict[str, str]:
    """A fresh API key for each tenant."""
    return {tenant: f"sk-farthing-demo-{secrets.token_urlsafe(16)}" for tenant in traffic.TENANTS}


def without_semantic() -> str | None:
    """Why there can be no semantic cache here; None when there can."""
    try:
        require(SEMANTIC_PACKAGES)
    except ConfigError as why:
        return str(why)
    return None


def configuration(
    folder: Path,
    ports: dict[str, int],
    tenant_keys: dict[str, str],
    semantic: SemanticMode = "off",
    *,
    brain_s: float = BRAIN_S,
) -> str:
    """The farthing.toml of the demo. Rules, caches and limits not named here are the defaults."""
    consumer, corporate = traffic.TENANTS
    targets = {name: f"simulated-{name}/{tier.model}" for name, tier in TIERS.items()}
    table = {
        "state_dir": str(folder),
        "keys": [
            {"tenant": consumer, "digest": key_digest(tenant_keys[consumer])},
            {"tenant": corporate, "digest": key_digest(tenant_keys[corporate]), "plan": "enterprise"},
        ],
        "providers": {
            f"simulated-{name}": {
                "base_url": f"http://127.0.0.1:{port}/v1",
                "pass_through": False,
                "connections_max": 1_024,
            }
            for name, port in ports.items()
        },
        "tiers": {name: {"targets": [target]} for name, target in targets.items()},
        "endpoints": {
            traffic.ENDPOINT: {
                "calls_max": 2,
                "target_s": TARGET_S,
                "deadline_s": 30.0,
                "input_tokens_max": 4_000,
                "output_tokens_max": 400,
                "cache": {
                    "normalised": True,
                    "keys": [{"key": k, "phrases": list(p)} for k, p in traffic.CACHE_KEYS.items()],
                    "semantic": {
                        "mode": semantic,
                        "threshold": THRESHOLD,
                        "risk_max": FALSE_HITS_MAX,
                        "audit_share": AUDIT_SHARE,
                    },
                },
            }
        },
        "brain": {"timeout_s": brain_s},
        "call": {"ask_models": False},
        "answers": [
            {"name": name, "text": text, "phrases": list(phrases), "endpoint": traffic.ENDPOINT}
            for name, (text, phrases) in traffic.FIXED.items()
        ],
        "prices": [
            {"target": targets[name], "input": Decimal(tier.input_usd), "output": Decimal(tier.output_usd)}
            for name, tier in TIERS.items()
        ],
    }
    return toml.dumps(table)


@asynccontextmanager
async def upstream(folder: Path) -> AsyncIterator[Upstream]:
    """The simulated models, until the end of the block; then their bill is known.

    Raises:
        DemoFailed: they did not start; the message has the end of their log.
    """
    log = folder / UPSTREAM_LOG
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "farthing.demo.upstream"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,  # Ctrl-C is for the demo, which ends them in its own order
        )
    try:
        ports = msgspec.json.decode(await _line(process, "simulated models", log), type=dict[str, int])
        running = Upstream(ports)
        yield running
        _stdin(process).close()
        told = await _line(process, "simulated models", log)
        running.bill = msgspec.json.decode(told, type=dict[str, Bill])
    finally:
        await _end(process)


@asynccontextmanager
async def gateway(config: Path) -> AsyncIterator[Served]:
    """`farthing serve --config CONFIG` on a free port, until the end of the block; then it is drained.

    Raises:
        DemoFailed: it did not start; the message has the end of its log.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
    log = config.with_name(LOG)
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "farthing", "serve", "--config", str(config), "--port", "0"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            env={**env, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield Served(await _listening(process, log), process.pid)
    finally:
        await _end(process)


async def semantic_ready(port: int) -> None:
    """Wait until the gateway's semantic cache answers.

    Raises:
        DemoFailed: it does not, in time.
    """
    end_s = asyncio.get_running_loop().time() + READY_S
    while asyncio.get_running_loop().time() < end_s:
        if b"\nfarthing_semantic_ready 1" in await _metrics(port):
            return
        await asyncio.sleep(0.1)
    raise DemoFailed("the semantic cache did not become ready")


async def _metrics(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
        return await asyncio.wait_for(reader.read(), READY_S)
    finally:
        writer.close()


async def _listening(process: asyncio.subprocess.Process, log: Path) -> int:
    """The port that `farthing serve` says it listens on."""
    while True:
        found = re.match(rb"base URL +http://[^/]+:(\d+)/", await _line(process, "gateway", log))
        if found is not None:
            return int(found[1])


async def _line(process: asyncio.subprocess.Process, what: str, log: Path) -> bytes:
    assert process.stdout is not None, "started with a pipe"
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_S)
    except TimeoutError:
        line = b""
    if not line:
        raise DemoFailed("\n  ".join([f"the {what} did not start, or stopped too soon", *_tail(log)]))
    return line


def _tail(log: Path) -> list[str]:
    return log.read_text("utf-8", "replace").strip().splitlines()[-5:]


def _stdin(process: asyncio.subprocess.Process) -> asyncio.StreamWriter:
    assert process.stdin is not None, "started with a pipe"
    return process.stdin


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask `process` to end, and make it when it does not. Twice is safe."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(asyncio.shield(process.wait()), STOP_S)
    except (TimeoutError, asyncio.CancelledError) as why:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(why, asyncio.CancelledError):
            raise
