"""What providers count is learned from their usage by a running gateway, shown, kept, and harms nobody."""

import base64
import json
import struct
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.e2e.gateway import Running, running, until
from tests.faults.provider import FaultProvider

from farthing.cli.main import cli
from farthing.models.tokens.estimate import estimate_tokens
from farthing.stores import token_ratios

TEXT = "What a provider counts for a text is its own affair, and shows in the usage. " * 60
ESTIMATE = estimate_tokens(TEXT)
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 1_000, 1_000)
CONFIG = """
[providers.a]
base_url = "{a}"
[providers.b]
base_url = "{b}"
[cache]
exact = "off"
[tiers.cheap]
targets = ["a/fault:prompt-tokens={tokens}", "b/good-after"]
[endpoints.tight]
tier = "cheap"
usd_max = 0.01
[[prices]]
target = "a/fault:prompt-tokens={tokens}"
input = 3
output = 15
context_tokens_max = 6000
[[prices]]
target = "b/good-after"
input = 3
output = 15
context_tokens_max = 100000
"""


def test_the_ratio_is_learned_shown_and_survives_a_restart(
    tmp_path: Path, upstream: FaultProvider, second: FaultProvider
) -> None:
    config = CONFIG.format(a=upstream.base_url, b=second.base_url, tokens=round(1.5 * ESTIMATE))
    with running(config, tmp_path) as gateway:
        for number in range(40):
            reply = gateway.chat(f"{number} {TEXT}", stream=number % 2 == 0)
            assert reply.status == 200
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + _base64(PNG)}}
        body = [{"type": "text", "text": TEXT}, picture]
        assert gateway.chat(body).status == 200  # type: ignore[arg-type]
        assert gateway.metric("farthing_token_ratio_samples_total") == 40
        assert gateway.metric("farthing_token_ratio") == pytest.approx(1.5, abs=0.05)
        assert 0 <= gateway.metric("farthing_token_ratio_error_share") < 0.5
        asked = reply.headers["x-request-id"]
        question = {"model": "auto", "messages": [{"role": "user", "content": TEXT}]}
        counted = gateway.post("/v1/messages/count_tokens", question).json["input_tokens"]
        assert counted == pytest.approx(1.5 * ESTIMATE, rel=0.05)
    (kept,) = token_ratios.load(gateway.state)
    assert (kept.samples, kept.kind, kept.basis) == (40, "latin", "estimate")
    assert TEXT[:20] not in (gateway.state / token_ratios.FILE).read_text()
    with running(config, tmp_path) as gateway:
        assert gateway.metric("farthing_token_ratio_samples_total") == 40
        gateway.chat(f"again {TEXT}")
        until(lambda: gateway.metric("farthing_token_ratio_samples_total") == 41)
        said = _ran(gateway, "report")
        assert "Token counts" in said and ": text 1." in said and "40 prompts" in said
        (row,) = json.loads(_ran(gateway, "report", "--json"))["token_ratios"]
        assert row["ratio"] == pytest.approx(1.5, abs=0.05) and row["samples"] == 40
        explained = " ".join(_ran(gateway, "explain", asked).split())
        assert "counts tokens as multiples of our estimate: text 1." in explained


@pytest.mark.parametrize("tokens", [1, 5_000_000])
def test_a_provider_that_states_nonsense_gets_nobody_refused(
    tmp_path: Path, upstream: FaultProvider, second: FaultProvider, tokens: int
) -> None:
    config = CONFIG.format(a=upstream.base_url, b=second.base_url, tokens=tokens)
    with running(config, tmp_path) as gateway:
        for number in range(70):
            assert gateway.chat(f"{number} {TEXT}").status == 200
        ratio = gateway.metric("farthing_token_ratio")
        assert 0.1 < ratio < 10
        assert gateway.chat(f"last {TEXT * 3}").status == 200


def test_a_dear_bound_by_bytes_refuses_nobody_whose_prompt_can_be_paid(
    tmp_path: Path, upstream: FaultProvider, second: FaultProvider
) -> None:
    """4,700 bytes might be as many tokens, 1.4 cents at 3 dollars a million: the text has 1,000 of them."""
    config = CONFIG.format(a=upstream.base_url, b=second.base_url, tokens=ESTIMATE)
    with running(config, tmp_path) as gateway:
        until(lambda: gateway.chat(TEXT, model="farthing/tight", max_tokens=50).status == 200)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _ran(gateway: Running, *words: str) -> str:
    env = {"FARTHING__STATE_DIR": str(gateway.state), "COLUMNS": "200"}
    done = CliRunner(env=env).invoke(cli, [*words, "--config", str(gateway.config)])
    assert done.exit_code == 0, done.output
    return done.stdout
