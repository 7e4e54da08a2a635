"""The story of a request tells everything the receipt knows, and says what it does not know."""

import json
from pathlib import Path
from typing import Any

import pytest

from farthing import config as configuration
from farthing.cli.main import cli
from farthing.errors import ConfigError
from farthing.insight.explain import request, route
from farthing.insight.explain.route import RouteDetails, call_prices, details
from farthing.ledger.rows import Intent
from farthing.ledger.segments import SegmentLedger
from farthing.types import Attempt, Pass, PromptCacheUse, Receipt, Usage, replace

FULL = Receipt(
    request_id="req_abc",
    at_unix_s=1_750_000_000.25,
    started_s=3.0,
    tenant="acme",
    endpoint="support-faq",
    model_asked="auto",
    task_type="classify",
    complexity=0.25,
    risk="low",
    domain="billing",
    language="en",
    tier="expensive",
    target="openai/big",
    cache="miss",
    cache_would_hit=True,
    route_reason="rule simple-task, then escalated",
    usage=Usage(input_tokens=120, output_tokens=40, cached_tokens=100),
    attempts=[
        Attempt(
            target="openai/small",
            tier="cheap",
            started_ms=0.4,
            total_ms=50.0,
            status=503,
            error="provider_unavailable",
        ),
        Attempt(
            target="openai/big",
            tier="expensive",
            started_ms=51.0,
            ttft_ms=200.0,
            total_ms=300.0,
            status=200,
            usage=Usage(input_tokens=120, output_tokens=40, cached_tokens=100),
            cost_nusd=1_250_000,
        ),
    ],
    calls=2,
    cost_nusd=1_250_000,
    baseline_nusd=3_000_001,
    baseline_target="openai/big",
    ttft_ms=251.0,
    total_ms=351.5,
    model_ms=350.0,
    overhead_ms=1.5,
    stage_ms={"classify": 0.03, "route": 0.02},
    skipped={"cache": "StoreError"},
    stop_reason="stop",
    status=200,
    policy="p1",
    price_version="2026-01-01",
)


def test_the_story_holds_everything_that_was_decided_called_paid_and_waited_for() -> None:
    text = "\n".join(request.story(FULL))
    for part in (
        "req_abc, 2025-06-15 15:06:40.250Z",
        "tenant acme",
        "endpoint support-faq",
        "task classify, complexity 0.25, risk low, domain billing, language en",
        "miss: asked, had nothing; it only observes, and would have answered",
        "tier expensive, openai/big: rule simple-task, then escalated",
        "openai/small (cheap) at 0.4 ms, done after 50.0 ms, HTTP 503, provider_unavailable, cost unknown",
        "first byte after 200.0 ms, done after 300.0 ms, HTTP 200",
        "HTTP 200, 120 (100 cached) tokens in, 40 out, $0.00125",
        "HTTP 200, stopped by stop",
        "$0.00125, 2 calls",
        "openai/big would have cost $0.003000001 for the same answer: saved $0.001750001",
        "351.5 ms in all: providers 350.0, queue 0.0, Farthing 1.50 (classify 0.03, route 0.02)",
        "skipped  cache: StoreError",
        "configuration p1, prices 2026-01-01",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"purpose": "judge"}, "to grade the answer to req_7"),
        ({"purpose": "judge", "cache_entry": "e1"}, "agrees with the stored one"),
        ({"purpose": "explore"}, "how well the other tier answers req_7"),
        ({"purpose": "route"}, "whether the question of req_7 is easy"),
        ({"purpose": "precompute"}, "before it is asked for (req_7)"),
        ({"purpose": "refresh"}, "whether the stored answer req_7 is still right"),
    ],
)
def test_an_errand_says_what_it_was_for(fields: dict[str, str], said: str) -> None:
    assert said in "\n".join(request.story(replace(FULL, about="req_7", **fields)))


def test_a_client_of_another_dialect_is_told_with_its_agent() -> None:
    theirs = replace(FULL, dialect="messages", session="s-1", agent="a-7", model_asked="claude-auto")
    assert "asked    chat of 'auto' at" in "\n".join(request.story(FULL))
    text = "\n".join(request.story(theirs))
    assert "asked    messages of 'claude-auto' at" in text and "session s-1, agent a-7, whole" in text


def test_the_id_that_a_provider_gave_a_call_finds_its_request(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path)
    for name, given in (("req_1", "req_of_anthropic_1"), ("req_2", "req_of_anthropic_2")):
        calls = [
            replace(FULL.attempts[0], upstream_id="req_tried"),
            replace(FULL.attempts[1], upstream_id=given),
        ]
        book.record(replace(FULL, request_id=name, attempts=calls))
    book.record(replace(FULL, request_id="req_3", error_message="of req_of_anthropic_1"))
    assert request.find(tmp_path, "req_of_anthropic_1").request_id == "req_1"
    assert request.find([tmp_path], "req_tried").request_id == "req_2"
    with pytest.raises(request.UnknownRequest):
        request.find(tmp_path, "req_of_anthropic")
    book.close()


def test_what_is_unknown_is_called_unknown() -> None:
    text = "\n".join(
        request.story(Receipt(request_id="x", at_unix_s=0.0, started_s=0.0, calls=1, cost_nusd=None))
    )
    assert "cost unknown" in text and "tokens unknown" in text and "no saving is claimed" in text
    assert "$" not in text


def test_a_dearer_answer_than_the_baseline_is_told_as_that() -> None:
    dear = Receipt(request_id="x", at_unix_s=0.0, started_s=0.0, cost_nusd=10, baseline_nusd=4, calls=1)
    assert "spent more by $0.000000006" in "\n".join(request.story(dear))


def test_a_call_whose_process_died_has_an_unknown_outcome() -> None:
    dead = Intent(request_id="x", target="a/b", attempt=2, at_unix_s=0.0)
    text = "\n".join(request.story(dead))
    assert "2 of a/b" in text and "outcome and cost are unknown" in text
    assert request.to_json(dead)["outcome"] == "unknown"


def test_texts_of_others_cannot_steer_the_terminal() -> None:
    sly = Receipt(request_id="x", at_unix_s=0.0, started_s=0.0, error="e", error_message="\x1b[2Jgone\r\n")
    text = "\n".join(request.story(sly))
    assert "\x1b" not in text and "\r" not in text and "?[2Jgone" in text


def test_the_json_names_every_field_and_keeps_unknown_null() -> None:
    told = request.to_json(FULL)
    assert told["usage"]["cached_tokens"] == 100
    assert told["attempts"][1]["usage"]["input_tokens"] == 120
    assert told["attempts"][0]["cost_nusd"] is None
    assert told["saved_nusd"] == 1_750_001
    assert set(Receipt.__struct_fields__) - set(told) == {"started_s"}


def test_the_command_tells_the_story_of_a_request_in_a_running_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = SegmentLedger(tmp_path)
    book.record(FULL)
    flying = Receipt(request_id="req_fly", at_unix_s=0.0, started_s=0.0)
    book.intend(flying, "a/b")
    assert cli.main(["explain", "req_abc", "--ledger", str(tmp_path)], standalone_mode=False) == 0
    assert "saved $0.001750001" in capsys.readouterr().out
    assert cli.main(["explain", "req_abc", "--ledger", str(tmp_path), "--json"], standalone_mode=False) == 0
    assert json.loads(capsys.readouterr().out)["cost_nusd"] == 1_250_000
    assert cli.main(["explain", "req_fly", "--ledger", str(tmp_path)], standalone_mode=False) == 0
    assert "in flight" in capsys.readouterr().out
    book.close()


def test_an_unknown_id_names_the_nearest_ones_and_else_the_last(tmp_path: Path) -> None:
    book = SegmentLedger(tmp_path)
    for name in ("req_aaaa1", "req_bbbb2", "req_cccc3"):
        book.record(Receipt(request_id=name, at_unix_s=0.0, started_s=0.0))
    with pytest.raises(request.UnknownRequest, match="did you mean req_bbbb2"):
        request.find(tmp_path, "req_bbbb3")
    with pytest.raises(request.UnknownRequest, match="the last ones are req_aaaa1, req_bbbb2, req_cccc3"):
        request.find(tmp_path, "zzz")
    book.close()


def test_an_empty_ledger_and_a_missing_one_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(request.UnknownRequest, match="has no receipts"):
        request.find(tmp_path, "x")
    with pytest.raises(ConfigError, match="--ledger"):
        cli.main(["explain", "x", "--ledger", str(tmp_path / "no")], standalone_mode=False)


def test_without_options_the_ledger_is_that_of_the_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    book = SegmentLedger(tmp_path / "farthing" / "ledger")
    book.record(FULL)
    book.close()
    assert cli.main(["explain", "req_abc"], standalone_mode=False) == 0
    assert "req_abc" in capsys.readouterr().out


def test_what_the_checks_of_a_cascade_said_is_told_with_what_came_of_it() -> None:
    def told(**changes: Any) -> list[str]:
        return [line for line in request.story(replace(FULL, **changes)) if "checks" in line]

    assert told() == []
    scored = {"check_score": 0.41, "check_by": "logprobs"}
    assert told(**scored) == ["  checks   logprobs 0.410: no doubt about the first answer"]
    doubt = {"doubt": "schema: not JSON"}
    assert told(**doubt) == ["  checks   doubted by schema: not JSON; so it was asked again"]
    assert told(**scored, **doubt, skipped={"escalate": "ContractExceeded"}) == [
        "  checks   logprobs 0.410; doubted by schema: not JSON; delivered all the same, no better "
        "answer was available"
    ]


def test_a_named_model_in_no_tier_has_no_empty_parentheses_and_one_token_is_one() -> None:
    usage = Usage(input_tokens=1, output_tokens=5)
    named = Receipt(
        request_id="x",
        at_unix_s=0.0,
        started_s=0.0,
        target="openai/o9",
        route_reason="pinned: the client named the model",
        attempts=[Attempt(target="openai/o9", tier="", started_ms=0.4, status=200, usage=usage)],
        calls=1,
        usage=usage,
    )
    text = "\n".join(request.story(named))
    assert "route    openai/o9, which is in no tier (pinned: the client named the model)" in text
    assert "openai/o9 at 0.4 ms" in text and "()" not in text
    assert "1 token in, 5 out" in text and "none chosen" not in text
    refused = Receipt(request_id="x", at_unix_s=0.0, started_s=0.0, status=404, error="model_not_found")
    text = "\n".join(request.story(refused))
    assert "route    no tier was chosen" in text
    assert "baseline none: the request ended before a model was chosen" in text


def test_each_call_says_what_its_provider_was_not_told() -> None:
    attempts = [replace(FULL.attempts[0], left_out="temperature, seed"), FULL.attempts[1]]
    lines = request.story(replace(FULL, attempts=attempts))
    at = next(i for i, line in enumerate(lines) if line.startswith("  call 1"))
    assert lines[at + 1].startswith("  left out temperature, seed: openai/small")
    assert sum("left out" in line for line in lines) == 1


def test_a_refused_request_says_that_nothing_was_called() -> None:
    told = Receipt(request_id="x", at_unix_s=0.0, started_s=0.0, status=400, error="cannot_say")
    told.baseline_target = "openai/big"
    text = "\n".join(request.story(told))
    assert "cost     $0.00, nothing was called" in text and "baseline none: nothing was called" in text
    assert "unknown, so no saving" not in text
    assert details(told, RouteDetails(ruled=None, tiers=[], signals=[], jobs=[], prices=[])) == []


def test_the_cost_of_a_call_can_be_reckoned_again_from_its_line_and_its_prices() -> None:
    config = configuration.loads(
        """
[providers.a]
kind = "anthropic"
[[prices]]
target = "a/m"
input = 3
output = 15
cached_input = 0.3
cache_write_5m = 3.75
""",
        {},
    )
    usage = Usage(input_tokens=3_000, output_tokens=10, cached_tokens=500, cache_write_5m_tokens=2_000)
    cost = 500 * 3_000 + 500 * 300 + 2_000 * 3_750 + 10 * 15_000
    call = Attempt(target="a/m", tier="cheap", started_ms=0.0, usage=usage, cost_nusd=cost)
    receipt = Receipt(request_id="x", at_unix_s=1e9, started_s=0.0, attempts=[call], calls=1, usage=usage)
    assert "(cache write 5m 2000 tokens)" in "\n".join(request.story(receipt))
    (priced,) = call_prices(receipt, config)
    assert priced.usd_per_million == {"in": "3", "cached": "0.3", "cache write": "3.75", "out": "15"}
    assert priced.cost_nusd == priced.booked_nusd == cost
    beside = RouteDetails(ruled=None, tiers=None, signals=[], jobs=[], prices=[priced])
    said = "  price 1  US dollars per million tokens: in $3, cached $0.3, cache write $3.75, out $15"
    assert said in details(receipt, beside)
    (changed,) = call_prices(replace(receipt, attempts=[replace(call, cost_nusd=cost + 1)]), config)
    assert "the prices have changed" in "\n".join(details(receipt, replace(beside, prices=[changed])))


def test_a_call_that_is_charged_by_the_use_shows_the_price_of_a_thousand() -> None:
    config = configuration.loads(
        """
[providers.a]
base_url = "http://127.0.0.1:9/v1"
[[prices]]
target = "a/ear"
input = 0
output = 0
per_1000.audio_seconds = 0.1
per_1000.request = 2
""",
        {},
    )
    usage = Usage(fees={"audio_seconds": 7})
    call = Attempt(target="a/ear", tier="", started_ms=0.0, usage=usage, cost_nusd=2_700_000)
    receipt = Receipt(request_id="x", at_unix_s=1e9, started_s=0.0, attempts=[call], calls=1, usage=usage)
    prices = call_prices(receipt, config)
    lines = details(receipt, RouteDetails(ruled=None, tiers=[], signals=[], jobs=[], prices=prices))
    assert lines == ["  price 1  US dollars per 1,000: audio_seconds $0.1, request $2"]


def test_an_unknown_cost_says_whether_the_price_or_the_usage_is_missing() -> None:
    def said(**more: Any) -> str:
        call = Attempt(target="a/ear", tier="", started_ms=0.0, **more)
        return "\n".join(
            request.story(Receipt(request_id="x", at_unix_s=1e9, started_s=0.0, attempts=[call]))
        )

    assert "cost unknown: no price of the model" in said(usage=Usage(input_tokens=1))
    assert "cost unknown: the provider told no usage" in said()
    assert "cost unknown: " not in said(error="provider_unavailable")


def test_a_charge_that_is_not_ours_and_what_other_models_did_in_a_call_are_told() -> None:
    wiser = Pass(model="wiser", usage=Usage(input_tokens=9, output_tokens=8))
    passes = (Pass(usage=Usage(input_tokens=10)), Pass(usage=Usage(input_tokens=20)), wiser)
    usage = Usage(input_tokens=30, output_tokens=10, cached_tokens=20, cached_audio_tokens=7, passes=passes)
    usage = replace(usage, told_nusd=5_100_000)
    call = Attempt(
        target="a/m", tier="", started_ms=0.0, usage=usage, cost_nusd=5_100_000, reckoned_nusd=5_000_000
    )
    receipt = Receipt(request_id="x", at_unix_s=1e9, started_s=0.0, attempts=[call], calls=1, usage=usage)
    text = "\n".join(request.story(receipt))
    assert "$0.0051 as the provider says, $0.005 by our prices; they differ by more than 1 %" in text
    assert "(cached audio 7 tokens, in 2 runs, and wiser 9 in, 8 out)" in text
    near = replace(receipt, attempts=[replace(call, reckoned_nusd=5_090_000)])
    assert "differ" not in "\n".join(request.story(near))
    told = request.to_json(receipt)["usage"]["passes"]
    assert [one["model"] for one in told] == ["", "", "wiser"] and told[2]["usage"]["output_tokens"] == 8


def called(**fields: object) -> str:
    """The story of a request whose only call was `fields`."""
    one = Attempt(**{"target": "openai/gpt-4o", "tier": "cheap", "started_ms": 0.4, **fields})  # type: ignore[arg-type]
    return "\n".join(request.story(replace(FULL, attempts=[one])))


def test_a_calls_time_is_the_networks_and_the_providers_or_said_to_be_unknown() -> None:
    told = called(network_ms=40.0, provider_ms=360.0, connect_ms=30.0, tls_ms=18.0, rtt_ms=11.0)
    assert (
        "  network  40.0 ms (10%), the provider 360.0 ms as it says; a connection was opened in 30.0 ms, "
        "18.0 of it for TLS; a round trip takes 11.0 ms"
    ) in told
    assert (
        "  network  its part is unknown, as the provider does not say how long it worked; a round trip takes "
        "11.0 ms"
    ) in called(rtt_ms=11.0)
    assert "  network" not in called()


def test_the_model_that_answered_is_told_beside_the_one_that_was_asked_for() -> None:
    told = called(model="gpt-4o-2024-08-06", fingerprint="fp_1")
    assert "  model    gpt-4o-2024-08-06 answered, fingerprint fp_1; gpt-4o was asked for" in told
    assert "  model    gpt-4o answered, fingerprint fp_1\n" in called(model="gpt-4o", fingerprint="fp_1")
    assert "  model" not in called(model="gpt-4o")


def test_what_a_prompt_cache_gave_is_told_below_its_call() -> None:
    use = PromptCacheUse(result="changed", segment="system", byte=0, missed_tokens=90, missed_nusd=1_000_000)
    told = called(usage=Usage(input_tokens=100, cached_tokens=10), prompt_cache=use)
    assert "  prefix 1 10 of 100 tokens read: the prompt changed in system" in told
    assert "90 tokens missed for $0.001 more" in told


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("residency", "not asked, as it does not answer within the regions of the endpoint"),
        ("cannot_say", "not asked, as it does not take something in the request"),
        ("paused 29.8 s", "not asked, as it had asked for a pause; 29.8 s of that were left"),
        ("full", "not asked, as it had as many calls as it takes"),
        ("NoSuchError of ours", "NoSuchError of ours"),
    ],
)
def test_a_target_that_was_passed_over_is_told_with_the_reason(why: str, words: str) -> None:
    told = "\n".join(request.story(replace(FULL, skipped={"a/x": why})))
    assert f"  skipped  a/x: {words}" in told


def test_each_call_is_told_with_its_region_where_the_configuration_knows_it() -> None:
    config = configuration.loads(
        """
[providers.openai]
base_url = "https://eu.api.openai.com/v1"
[[providers.openai.replicas]]
name = "far"
base_url = "https://gpu.example/v1"
region = "us-east-1"
""",
        {},
    )
    calls = [
        Attempt(target="openai/m", tier="", started_ms=0.0, lane="main"),
        Attempt(target="openai/m", tier="", started_ms=0.0, lane="replica far"),
        Attempt(target="openai/m", tier="", started_ms=0.0, lane="replica gone"),
        Attempt(target="other/m", tier="", started_ms=0.0),
    ]
    found = route.call_regions(replace(FULL, attempts=calls), config)
    assert [(one.call, one.region) for one in found] == [(1, "eu"), (2, "us-east-1")]
    details = route.RouteDetails(ruled=None, tiers=None, signals=[], prices=[], jobs=[], regions=found)
    assert "  region 2 us-east-1" in route.details(FULL, details)
