"""A gateway and the report on it, started alike: the same ledger, and who asked by the name of the key."""

import json
import os
import subprocess
import sys
from typing import Any

from tests.conftest import StartGateway
from tests.e2e.gateway import ROOT, Running
from tests.faults.provider import FaultProvider

from farthing.config import key_digest

ASK = {"model": "a/good", "messages": [{"role": "user", "content": "hello"}]}
COMMAND = [sys.executable, "-c", "from farthing.cli.main import main; main()"]


def report(gateway: Running, *words: str) -> Any:
    """What `farthing report --json` says where the gateway's file is, without its secrets."""
    env = {
        "PYTHONPATH": str(ROOT / "src"),
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "FARTHING__STATE_DIR": str(gateway.state),
    }
    told = subprocess.run(
        [*COMMAND, "report", *words, "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=gateway.config.parent,
        env=env,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def test_the_report_tells_keys_apart_and_reveals_none(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    secrets = ("sk-first-secret-key", "sk-second-secret-key", "sk-from-the-environment")
    first, second, third = ({"authorization": f"Bearer {key}"} for key in secrets)
    gateway = start_gateway(
        f"""
[[keys]]
tenant = "acme"
name = "ci pipeline"
digest = "{key_digest(secrets[0])}"
[[keys]]
tenant = "acme"
digest = "{key_digest(secrets[1])}"
[[keys]]
tenant = "globex"
key = "${{THIRD_KEY}}"
[providers.a]
base_url = "{upstream.base_url}"
[providers.gone]
base_url = "http://127.0.0.1:9/v1"
pass_through = true
[tiers.cheap]
targets = ["a/good"]
[tiers.expensive]
targets = ["a/good"]
""",
        THIRD_KEY=secrets[2],
    )
    for number, (headers, count) in enumerate(((first, 3), (second, 2), (third, 1))):
        for again in range(count):
            asked = {**ASK, "seed": 10 * number + again}
            assert gateway.post("/v1/chat/completions", asked, headers=headers).status == 200
    refused = gateway.post("/v1/chat/completions", {**ASK, "model": "gone/away"}, headers=first)
    assert refused.status == 502
    gateway.receipt_of(refused)
    found = report(gateway, "--by", "tenant,key")
    assert found["ledgers"] == [str(gateway.state / "ledger")]
    counts = {tuple(one["values"].values()): one["requests"] for one in found["grouped"]["groups"]}
    digests = [key_digest(key)[:11] for key in secrets]
    assert counts == {("acme", "ci pipeline"): 4, ("acme", digests[1]): 2, ("globex", digests[2]): 1}
    failed = report(gateway, "--failed")
    (one,) = failed["shown"]
    assert (one["key"], one["model"], one["status"]) == ("ci pipeline", "gone/away", refused.status)
    assert one["code"] == refused.error["code"]
    everything = json.dumps([found, failed]) + "".join(str(row) for row in gateway.rows())
    assert not any(key in everything or key[3:] in everything for key in secrets)


def test_without_keys_a_receipt_says_that_there_was_none(
    start_gateway: StartGateway, upstream: FaultProvider
) -> None:
    gateway = start_gateway(
        f'[providers.a]\nbase_url = "{upstream.base_url}"\n[tiers.cheap]\ntargets = ["a/good"]\n'
    )
    answered = gateway.post("/v1/chat/completions", ASK)
    assert gateway.receipt_of(answered).key == ""
