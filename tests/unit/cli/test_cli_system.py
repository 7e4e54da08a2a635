"""What the system refuses is told in a line."""

import os
from pathlib import Path

import pytest

from farthing.cli import main


def test_a_place_of_another_user_is_told_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = PermissionError(13, "Permission denied", str(tmp_path / "ledger"))
    assert main._of_system(why) == f"{tmp_path}/ledger: Permission denied"
    owner = tmp_path.owner()
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    assert main._of_system(why).endswith(f"{tmp_path} belongs to {owner}: run this as that user")


def test_what_else_fails_is_told_with_its_place() -> None:
    assert main._of_system(OSError(28, "No space left on device", "/x/y")) == "/x/y: No space left on device"
