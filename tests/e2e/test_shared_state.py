"""Two gateways on one state directory work, and the second one says so."""

from pathlib import Path

from tests.e2e.gateway import running
from tests.faults.provider import FaultProvider


def test_the_second_gateway_on_a_state_directory_says_who_has_it_and_what_is_shared(
    upstream: FaultProvider, tmp_path: Path
) -> None:
    config = f'[providers.a]\nbase_url = "{upstream.base_url}"\n[tiers.cheap]\ntargets = ["a/good"]\n'
    state = {"FARTHING__STATE_DIR": str(tmp_path / "state")}
    with running(config, tmp_path / "one", state) as one:
        assert "uses the state directory" not in one.logged()
        with running(config, tmp_path / "two", state) as two:
            told = two.logged()
            assert f"(process {one.process.pid} at 127.0.0.1:{one.port}) uses the state directory" in told
            assert "they share one ledger, so that `farthing report` adds up both" in told
            assert "state_dir in its file or FARTHING__STATE_DIR" in told
            assert one.chat("a").status == two.chat("b").status == 200
        apart = {"FARTHING__STATE_DIR": str(tmp_path / "own")}
        with running(config, tmp_path / "three", apart) as three:
            assert "uses the state directory" not in three.logged()
    with running(config, tmp_path / "four", state) as four:
        assert "uses the state directory" not in four.logged(), "both have gone"
