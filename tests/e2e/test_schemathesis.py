"""docs/openapi.json is true: generated requests, right and wrong, find no 5xx and no undocumented answer.

The gateway runs in front of the fault provider, which answers well here, so every 5xx would be our own.
"""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, seed, settings
from schemathesis import checks
from schemathesis.config import SchemathesisConfig

from farthing.config import key_digest
from tests.faults.provider import FaultProvider

ROOT = Path(__file__).parents[2]
KEY = "sk-schemathesis"
EXAMPLES_MAX = 30  # for each operation: right and wrong data together
START_S = 15.0

CONFIG = """
[server]
port = 0
requests_max = 100

[[keys]]
tenant = "tests"
digest = "{digest}"

[providers.faults]
base_url = "{base_url}"

[tiers.cheap]
targets = ["faults/small"]

[tiers.expensive]
targets = ["faults/large"]

[endpoints.support-faq]
task = "faq"
output_tokens_max = 64

[[prices]]
target = "faults/small"
input = 0.15
output = 0.60

[ledger]
segment_bytes = 262144
"""

schema = schemathesis.openapi.from_path(
    ROOT / "docs" / "openapi.json",
    config=SchemathesisConfig.from_dict(
        {
            "generation": {"mode": "all", "with-security-parameters": False},
        }
    ),
)


@schema.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """JSON Schema takes 64.0 for an integer; the gateway, like OpenAI, does not."""
    if not isinstance(body, dict):
        return body
    return {name: _whole(value) for name, value in body.items()}


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


@pytest.fixture(scope="module")
def gateway_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("gateway")
    with FaultProvider() as provider:
        file = folder / "farthing.toml"
        file.write_text(CONFIG.format(digest=key_digest(KEY), base_url=provider.base_url))
        command = "from farthing.cli.main import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", command, "serve", "--config", str(file)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(folder)},
            stdout=subprocess.PIPE,
            stderr=(folder / "log").open("wb"),
            text=True,
        )
        try:
            yield _address(process)
        finally:
            process.terminate()
            process.wait(START_S)
        log = (folder / "log").read_text()
        assert "Traceback" not in log, log[-4_000:]


def _address(process: "subprocess.Popen[str]") -> str:
    """What `farthing serve` says of itself: `base URL  http://127.0.0.1:PORT/v1`."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("base URL"):
            url = line.split()[-1].removesuffix("/v1")
            _wait(url)
            return url
    raise AssertionError("the gateway did not start")


def _wait(url: str) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=1).close()
            return
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < until_s, "the gateway did not become ready"
            time.sleep(0.05)


@schema.parametrize()
@seed(960)
@settings(
    max_examples=EXAMPLES_MAX,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_generated_requests_get_documented_answers(case: schemathesis.Case, gateway_url: str) -> None:
    response = case.call(base_url=gateway_url, headers=_headers(case), timeout=20)
    case.validate_response(response, checks=_checks())


def _headers(case: schemathesis.Case) -> dict[str, str]:
    """A key, unless the case is about having none."""
    return {} if "authorization" in {name.lower() for name in case.headers or {}} else {"Authorization": f"Bearer {KEY}"}


def _checks() -> list[Any]:
    return [
        checks.not_a_server_error,
        *checks.CHECKS.get_by_names(
            [
                "status_code_conformance",
                "content_type_conformance",
                "response_schema_conformance",
                "response_headers_conformance",
                "negative_data_rejection",
                "positive_data_acceptance",
                "unsupported_method",
            ]
        ),
    ]
