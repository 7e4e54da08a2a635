"""P1: the process is killed under load, again and again; no answer a client holds lacks its receipt."""

import os
from pathlib import Path

import pytest
from benchmarks.kills import run

KILLS = int(os.environ.get("FARTHING_KILLS", "12"))


@pytest.mark.timeout(60 + 2 * KILLS)
def test_a_kill_loses_no_acknowledged_answer_and_no_call_is_made_unannounced(tmp_path: Path) -> None:
    result = run(tmp_path, kills=KILLS, seed=1)
    assert result["kills"] == KILLS
    assert result["answers_without_receipt"] == 0
    assert result["calls_without_intent"] == 0
    assert result["receipts_twice"] == 0
    assert result["answers"] > 5 * KILLS, "it was under load"
    assert result["calls_cut_by_a_kill"] > 0, "the kills came in the middle of calls"
