"""An outage and each fallback leave a line in the log, and not one for each request."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.gateway import Running, running, until
from tests.faults.provider import FaultProvider

CONFIG = """
[call]
breaker_open_s = 0.5
[providers.a]
base_url = "{a}"
[providers.b]
base_url = "{b}"
[tiers.cheap]
targets = ["a/good", "b/good"]
[cache]
exact = "off"
[log]
json = true
"""


def lines(gateway: Running, said: str) -> list[dict[str, Any]]:
    every = [json.loads(line) for line in gateway.logged().splitlines()]
    return [line for line in every if said in line["message"]]


def test_an_outage_and_what_answers_instead_are_told(tmp_path: Path) -> None:
    with FaultProvider() as first, FaultProvider() as second:
        config = CONFIG.format(a=first.base_url, b=second.base_url)
        with running(config, tmp_path) as gateway:
            assert gateway.chat("before").status == 200
            assert not lines(gateway, "instead of")
            config = config.replace("a/good", "a/status=503")
            gateway.config.write_text(config)
            until(lambda: gateway.metric("farthing_reloads_applied") == 1)
            for number in range(30):
                assert gateway.chat(f"during {number} CANARY").status == 200
            (opened,) = lines(gateway, "is left out for 0.5 s")[:1]
            assert opened["level"] == "warning" and opened["message"].startswith("a/status=503 ")
            assert "provider_unavailable (status 503)" in opened["message"]
            fell = lines(gateway, "b/good answered instead of a/status=503")
            assert any("provider_unavailable (status 503)" in line["message"] for line in fell)
            assert any("it rests" in line["message"] for line in fell)
            assert len(fell) < 15  # of 30 requests, however slow the machine
            assert "CANARY" not in gateway.logged()


def test_when_the_last_target_fails_it_is_told(tmp_path: Path) -> None:
    with FaultProvider() as first, FaultProvider() as second:
        config = CONFIG.format(a=first.base_url, b=second.base_url)
        config = config.replace("a/good", "a/status=500").replace("b/good", "b/status=503")
        with running(config, tmp_path) as gateway:
            for _ in range(5):
                assert gateway.chat("CANARY").status >= 500
            told = lines(gateway, "no target is left")
            assert told and told[0]["level"] == "error"
            assert "a/status=500: provider_unavailable (status 500)" in told[0]["message"]
            assert "b/status=503: provider_unavailable (status 503)" in told[0]["message"]
            assert "CANARY" not in gateway.logged()
