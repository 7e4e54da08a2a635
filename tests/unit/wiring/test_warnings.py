"""What is likely a mistake is told with a fix that can be done where the configuration came from."""

from pathlib import Path

from farthing.config import loads
from farthing.wiring.warnings import advised

UNPRICED = '[providers.x]\nbase_url = "https://x.example/v1"\n[tiers.cheap]\ntargets = ["x/unheard-of"]\n'


def test_a_price_is_added_to_a_file_that_is_written_first_where_there_is_none(tmp_path: Path) -> None:
    config = loads(UNPRICED, {})
    (found,) = [line for line in advised(config, None, {}) if "no known price" in line]
    assert "write a file with `farthing init`, and add [[prices]]" in found
    path = tmp_path / "farthing.toml"
    path.write_text(UNPRICED)
    (told,) = [line for line in advised(config, path, {}) if "no known price" in line]
    assert "farthing init" not in told and "; add [[prices]]" in told
