"""`farthing policy`, `calibrate route --apply` and what `explain` and `report` say of policies."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.certified import certificate

from farthing.cli.main import cli
from farthing.guarantees.monitor.routing import WATCH_FILE, RouteMonitor
from farthing.guarantees.policy import versions as policy
from farthing.guarantees.policy.applied import Policies
from farthing.guarantees.policy.versions import Author, PolicyRefused
from farthing.ledger.segments import SegmentLedger
from farthing.types import Receipt, Signal, Usage

ANNA = Author(who="anna", at_unix_s=1_750_000_000.0)
CONFIG = """
state_dir = "{state}"
[providers.a]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["a/small"]
[tiers.middle]
targets = ["a/unpriced"]
[tiers.expensive]
targets = ["a/large"]
[endpoints.faq]
[[prices]]
target = "a/small"
input = 1
output = 2
[[prices]]
target = "a/large"
input = 10
output = 20
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "farthing.toml"
    path.write_text(CONFIG.format(state=tmp_path / "state"))
    (tmp_path / "state" / "ledger").mkdir(parents=True)
    return path


def state_of(config: Path) -> Path:
    return config.parent / "state"


def versions(config: Path, count: int = 2) -> None:
    for _ in range(count):
        policy.change(state_of(config), "faq", lambda book: policy.add(book, certificate(), ANNA))


def run(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main([*words, "--config", str(config)], standalone_mode=False) in (0, None)
    return capsys.readouterr().out


def told(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(run(config, capsys, *words, "--json"))


# -- policy -------------------------------------------------------------------------------------------


def test_canary_promote_and_rollback_say_what_they_did(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    versions(config)
    words = ("policy", "canary", "--endpoint", "faq", "--version", "2", "--share", "0.25")
    assert run(config, capsys, *words) == "faq: version 2 decides 25.0% beside version 0\n"
    assert told(config, capsys, "policy", "list") == [
        {
            "endpoint": "faq",
            "serving": 0,
            "candidate": 2,
            "share": 0.25,
            "retreated": [],
            "audits": 0,
            "loss_upper": None,
            "risk_max": None,
            "epsilon": None,
        }
    ]
    assert "version 2 serves" in run(config, capsys, "policy", "promote", "--endpoint", "faq")
    assert told(config, capsys, "policy", "rollback", "--endpoint", "faq")["serving"] == 0
    with pytest.raises(PolicyRefused, match="nothing to roll back: no version of 'faq' serves"):
        run(config, capsys, "policy", "rollback", "--endpoint", "faq")


def test_show_has_versions_audits_and_who_changed_what(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    versions(config)
    policy.change(state_of(config), "faq", lambda book: policy.promote(book, 1, ANNA))
    watch = RouteMonitor()
    Policies(policy.folder_of(state_of(config)), watch).refresh()
    for _ in range(60):
        watch.lost("faq@1", 1.0, segment="task=qa")
    (state_of(config) / WATCH_FILE).write_bytes(watch.dump())
    text = run(config, capsys, "policy", "show", "--endpoint", "faq")
    for part in (
        "faq: version 1 serves; loss at most",
        "TRIPPED, all to the expensive tier: version 1",
        "cheap from score 0.8 on, else expensive; loses at most 0.02 of quality per request, with confidence",
        "scores of planted/1, 2,000 samples",
        "not audited yet",
        "anna: version 1 serves instead of version 0",
    ):
        assert part in text, part
    shown = told(config, capsys, "policy", "show", "--endpoint", "faq")
    assert shown["book"]["serving"] == 1 and shown["watched"]["1"]["retreated"] is True
    assert "has no routing policy" in run(config, capsys, "policy", "show", "--endpoint", "other")
    assert told(config, capsys, "policy", "show", "--endpoint", "other") is None
    assert "TRIPPED" in run(config, capsys, "report")
    assert told(config, capsys, "report")["policies"][0]["retreated"] == [1]


def test_without_any_policy_the_list_says_how_to_make_one(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "farthing calibrate route --apply" in run(config, capsys, "policy", "list")
    compared = run(config, capsys, "policy", "compare", "--endpoint", "faq")
    assert "no version of its policy decided" in compared
    assert "farthing calibrate route --apply" in compared and "policy canary" not in compared


# -- calibrate ----------------------------------------------------------------------------------------


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "judged.jsonl"
    rows = ({"score": n / 2_000, "cheap": 1, "expensive": 1, "request_id": f"r{n}"} for n in range(2_000))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(("share", "serving", "candidate"), [(None, 0, 1), ("0.5", 0, 1), ("1", 1, None)])
def test_an_applied_certificate_is_a_new_version_on_trial_or_serving(
    config: Path,
    samples: Path,
    capsys: pytest.CaptureFixture[str],
    share: str | None,
    serving: int,
    candidate: int | None,
) -> None:
    words = ["calibrate", "route", "--endpoint", "faq", "--risk-max", "0.05", "--samples", str(samples)]
    assert told(config, capsys, *words)["policy_version"] is None
    words += ["--apply"] if share is None else ["--apply", "--share", share]
    assert told(config, capsys, *words)["policy_version"] == 1
    book = policy.load(policy.place(state_of(config), "faq"))
    assert book is not None
    assert (book.serving, book.candidate) == (serving, candidate)
    assert book.share == (0.1 if share is None else float(share) if share != "1" else 0.0)
    assert book.versions[0].targets == {"cheap": "a/small", "expensive": "a/large"}


def test_the_same_samples_make_no_second_version_that_forgets_what_audits_said(
    config: Path, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", "route", "--endpoint", "faq", "--samples", str(samples), "--apply", "--risk-max"]
    assert told(config, capsys, *words, "0.05")["policy_version"] == 1
    with pytest.raises(PolicyRefused, match="version 1 of 'faq' is this certificate, of the same samples"):
        run(config, capsys, *words, "0.05")
    assert told(config, capsys, *words, "0.06")["policy_version"] == 2


# -- explain ------------------------------------------------------------------------------------------


def recorded(config: Path, **changes: Any) -> Receipt:
    given: dict[str, Any] = {
        "tenant": "acme",
        "endpoint": "faq",
        "tier": "expensive",
        "target": "a/large",
        "status": 200,
        "usage": Usage(input_tokens=1_000, output_tokens=100),
        "calls": 1,
        "cost_nusd": 12_000_000,
        "route_score": 0.7,
        "route_by": "planted/1",
        "route_policy": "faq@1",
        "explored": "cheap",
        "propensity": 0.02,
        **changes,
    }
    receipt = Receipt(request_id="req_1", at_unix_s=1_750_000_000.0, started_s=0.0, **given)
    book = SegmentLedger(state_of(config) / "ledger")
    book.record(receipt)
    errand = Receipt(
        request_id="err_1",
        at_unix_s=1_750_000_001.0,
        started_s=0.0,
        purpose="explore",
        about="req_1",
        tier="cheap",
        target="a/small",
        status=200,
        cost_nusd=1_200_000,
    )
    book.record(errand)
    for tenant, quality in (("acme", 0.0), ("other", 1.0)):
        book.signal(
            Signal(
                request_id="req_1",
                at_unix_s=1_750_000_002.0,
                source="judge",
                quality=quality,
                kind="pairwise",
                tier="cheap",
                other="expensive",
                by="a/judge",
                consistent=True,
                tenant=tenant,
                endpoint="faq",
            )
        )
    book.close()
    return receipt


def test_explain_says_who_decided_what_others_would_have_cost_and_what_was_learned(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    versions(config, 1)
    policy.change(state_of(config), "faq", lambda book: policy.promote(book, 1, ANNA))
    recorded(config)
    text = run(config, capsys, "explain", "req_1")
    for part in (
        "scored   by planted/1",
        "faq@1, serving: cheap from score 0.8 on, for a loss of at most 0.02; 0.7 is below it",
        "tier cheap was asked too, in the background; drawn with probability 0.02",
        "cheap (a/small): $0.0012 for the same tokens",
        "middle (a/unpriced): unknown for the same tokens",
        "expensive (a/large): $0.012 for the same tokens, answered",
        "judge pairwise on the answer of cheap beside that of expensive: 0.00 of 1, by a/judge, ",
        "explore: tier cheap, a/small, HTTP 200, $0.0012",
    ):
        assert part in text, (part, text)
    shown = told(config, capsys, "explain", "req_1")
    assert [one["cost_nusd"] for one in shown["tiers"]] == [1_200_000, None, 12_000_000]
    assert [one["quality"] for one in shown["signals"]] == [0.0]  # the other tenant's is not about it
    assert shown["jobs"][0]["purpose"] == "explore" and shown["ruled"]["covered"] is False


def test_explain_prices_the_target_that_answered_where_it_stood_in_for_the_first(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text().replace('["a/large"]', '["a/large", "a/small"]'))
    recorded(config, target="a/small", cost_nusd=1_200_000)
    text = run(config, capsys, "explain", "req_1")
    assert "expensive (a/small): $0.0012 for the same tokens, answered" in text


def test_explain_without_configuration_or_policy_says_what_it_does_not_know(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(config)
    assert "faq@1, no longer in use, not kept" in run(config, capsys, "explain", "req_1")
    ledger = str(state_of(config) / "ledger")
    monkeypatch.setenv("XDG_STATE_HOME", str(config.parent / "empty"))
    assert cli.main(["explain", "req_1", "--ledger", ledger], standalone_mode=False) == 0
    assert (
        "the cost of other tiers is unknown: name the gateway's configuration with --config"
        in capsys.readouterr().out
    )
