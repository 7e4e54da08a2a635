"""The list that was fetched, where it cannot be used."""

from pathlib import Path

import pytest

from farthing.models.pricing.kept_list import NAME, current


def test_a_damaged_list_is_told_of_once_until_its_damage_is_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / NAME
    for content in (b"{", b"{", b"[]\n", b"[]\n"):
        path.write_bytes(content)
        assert current(tmp_path).version
        assert current(tmp_path).version
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(set(told)) <= 2
    assert told and str(path) in told[0]
