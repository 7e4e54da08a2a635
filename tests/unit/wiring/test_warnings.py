"""What is likely a mistake is told with a fix that can be done where the configuration came from."""

from pathlib import Path

import pytest

from farthing.config import loads
from farthing.wiring import credentials
from farthing.wiring.warnings import advised

SIGNED = """
[providers.x]
kind = "vertex"
project = "ours"
[providers.x.google]
credentials_file = "FILE"
[providers.y]
base_url = "https://y.openai.azure.com/openai/v1"
auth = "entra"
[providers.y.entra]
tenant_id = "t"
client_id = "c"
certificate_file = "CERTIFICATE"
"""
UNPRICED = '[providers.x]\nbase_url = "https://x.example/v1"\n[tiers.cheap]\ntargets = ["x/unheard-of"]\n'


def test_a_price_is_added_to_a_file_that_is_written_first_where_there_is_none(tmp_path: Path) -> None:
    config = loads(UNPRICED, {})
    (found,) = [line for line in advised(config, None, {}) if "no known price" in line]
    assert "write a file with `farthing init`, and add [[prices]]" in found
    path = tmp_path / "farthing.toml"
    path.write_text(UNPRICED)
    (told,) = [line for line in advised(config, path, {}) if "no known price" in line]
    assert "farthing init" not in told and "; add [[prices]]" in told


CONTINUING = """
[providers.a]
base_url = "https://a.example/v1"
[providers.vllm]
base_url = "http://127.0.0.1:8000/v1"
[tiers.cheap]
targets = ["a/m"]
[tiers.expensive]
targets = ["vllm/m"]
"""


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ("[call]\ncontinue_broken_streams = true", ""),
        ("[endpoints.e]\ncontinue_broken_streams = true", ""),
        ('[endpoints.e]\ntier = "expensive"\ncontinue_broken_streams = true', ""),
        (
            '[endpoints.e]\ntier = "cheap"\ncontinue_broken_streams = true',
            "endpoints.e.continue_broken_streams",
        ),
    ],
)
def test_streams_that_are_to_go_on_where_no_target_does_are_told(more: str, key: str) -> None:
    def told(text: str) -> list[str]:
        lines = advised(loads(text, {}), None, {})
        return [line.partition(":")[0] for line in lines if "goes on with an answer" in line]

    assert told(CONTINUING + more) == ([key] if key else [])
    other = CONTINUING.replace("vllm", "corp")
    assert told(other + more) == [
        "call.continue_broken_streams" if "[call]" in more else "endpoints.e.continue_broken_streams"
    ]
    assert not told(other)


def test_credentials_that_cannot_be_signed_are_told_before_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, certificate = tmp_path / "key.json", tmp_path / "app.pem"
    text = SIGNED.replace("FILE", str(file)).replace("CERTIFICATE", str(certificate))
    config = loads(text, {})
    file.write_text('{"type": "authorized_user"}')
    (told,) = [line for line in advised(config, None, {}) if ".google" in line or ".entra" in line]
    assert told.startswith(f"providers.y.entra: {certificate} cannot be read")
    file.write_text('{"type": "service_account"}')
    certificate.write_text("-")
    assert not [line for line in advised(config, None, {}) if "cryptography" in line]
    monkeypatch.setattr(credentials, "find_spec", lambda name: None)
    found = [line for line in advised(config, None, {}) if "install farthing[cloud]" in line]
    assert [line.partition(":")[0] for line in found] == ["providers.x.google", "providers.y.entra"]
