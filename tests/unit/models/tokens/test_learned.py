"""Ratios of providers' token counts to ours, learned from usage."""

import logging
import math
import random
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pace import turns

from farthing.models.tokens.families import prior
from farthing.models.tokens.learned import (
    BEYOND_MIN,
    EVERY,
    FAMILIES_MAX,
    TRUST,
    TRUST_SHORT,
    TokenRatios,
    kind_of,
    times,
)
from farthing.stores import token_ratios
from farthing.stores.state_file import StateFile
from farthing.stores.token_ratios import ROWS_MAX, SAMPLES_MAX, Ratio, family_of
from farthing.types import Pass, Prompt, Target, Usage, replace

TEXT = "What a provider counts for a text is its own affair, and shows in the usage. " * 40
OTHER = "Скільки токенів налічить постачальник, видно лише з його відповіді. " * 40


def target(name: str = "anthropic/claude-sonnet-5") -> Target:
    provider, _, model = name.partition("/")
    return Target(name=name, provider=provider, model=model)


def prompt(tokens: int = 1_000, text: str = TEXT, media_tokens: int = 0) -> Prompt:
    return Prompt(
        body={"messages": [{"role": "user", "content": text}]},
        input_tokens=tokens,
        input_tokens_bound=None,
        output_tokens_max=None,
        stream=False,
        media_tokens=media_tokens,
    )


def taught(ratio: float, requests: int, *, noise: float = 0.1, seed: int = 1) -> TokenRatios:
    """Ratios after so many requests to a provider that counts `ratio` times as many, give or take."""
    ratios, chance = TokenRatios(), random.Random(seed)
    for _ in range(requests):
        ours = chance.randrange(200, 4_000)
        told = round(ours * ratio * math.exp(chance.gauss(0.0, noise)))
        ratios.learn(target(), prompt(ours), Usage(input_tokens=told))
    return ratios


@pytest.mark.parametrize("ratio", [0.6, 1.0, 1.35, 2.5])
@pytest.mark.parametrize("seed", range(5))
def test_the_ratio_is_learned_in_some_tens_of_requests_and_so_is_the_error(ratio: float, seed: int) -> None:
    found = taught(ratio, 60, seed=seed).expected(target().name, 10_000)
    assert found.tokens == pytest.approx(10_000 * ratio, rel=0.05)
    assert 0.7 < math.log(found.tokens / found.low) / 0.1645 < 1.8
    assert 0.7 < math.log(found.high / found.tokens) / 0.1645 < 1.8
    assert not found.exact


@pytest.mark.parametrize("requests", [10, 20, 30])
def test_a_few_requests_are_better_than_none(requests: int) -> None:
    before = abs(TokenRatios().expected(target().name, 10_000).tokens - 15_000)
    after = abs(taught(1.5, requests).expected(target().name, 10_000).tokens - 15_000)
    assert after < before / 2


@pytest.mark.parametrize("told", [1, 10, 10_000_000])
def test_outliers_move_neither_the_ratio_nor_much_of_the_error(told: int) -> None:
    ratios = taught(1.2, 60)
    for _ in range(2):
        ratios.learn(target(), prompt(1_000), Usage(input_tokens=told))
    found = ratios.expected(target().name, 10_000)
    assert found.tokens == pytest.approx(12_000, rel=0.05)
    assert 9_000 < found.low <= found.tokens <= found.high < 16_000


@pytest.mark.parametrize("tokens", [10, 1_000])
@pytest.mark.parametrize("told", [1, 999_999_999])
def test_a_provider_is_taken_for_faulty_before_it_is_taken_at_its_word(tokens: int, told: int) -> None:
    ratios = TokenRatios()
    told = told if tokens > 100 else max(told, 1_000)  # of short prompts one token is no nonsense
    before = ratios.expected(target().name, tokens)
    for _ in range(BEYOND_MIN - 1):
        ratios.learn(target(), prompt(tokens), Usage(input_tokens=told))
    assert ratios.expected(target().name, tokens) == before and not ratios.rows()
    for _ in range(BEYOND_MIN):
        ratios.learn(target(), prompt(tokens), Usage(input_tokens=told))
    after = ratios.expected(target().name, tokens).tokens
    assert (after > 2 * before.tokens) if told > tokens else (after < before.tokens / 2)


def test_nonsense_must_come_sixteen_times_in_a_row_to_be_believed() -> None:
    ratios = TokenRatios()
    for _ in range(4):
        for _ in range(15):
            ratios.learn(target(), prompt(1_000), Usage(input_tokens=100_000))
        ratios.learn(target(), prompt(1_000), Usage(input_tokens=1_100))
    assert [row.samples for row in ratios.rows()] == [4]
    assert ratios.expected(target().name, 10_000).tokens < 13_000
    for _ in range(15):
        ratios.learn(target(), prompt(1_000), Usage(input_tokens=100_000))
    assert [row.samples for row in ratios.rows()] == [4]
    ratios.learn(target(), prompt(1_000), Usage(input_tokens=100_000))
    assert [row.samples for row in ratios.rows()] == [5]


@pytest.mark.parametrize(("tokens", "times_prior", "believed"), [(100, 4, 1), (100, 15, 1), (1_000, 15, 0)])
def test_of_a_short_prompt_more_is_believed_at_once(tokens: int, times_prior: int, believed: int) -> None:
    ratios = TokenRatios()
    _, _, high = prior(target().name, "estimate", kind_of({}, tokens))
    ratios.learn(target(), prompt(tokens, "hi"), Usage(input_tokens=int(tokens * high * times_prior)))
    assert sum(row.samples for row in ratios.rows()) == believed


def test_once_much_was_learned_one_request_in_eight_is() -> None:
    ratios = taught(1.0, SAMPLES_MAX + 1)
    for _ in range(80):
        ratios.learn(target(), prompt(), Usage(input_tokens=1_000))
    assert [row.samples for row in ratios.rows()] == [SAMPLES_MAX + 1 + 10]


def test_another_tokeniser_takes_over() -> None:
    ratios = taught(1.0, 200)
    for _ in range(SAMPLES_MAX * EVERY):
        ratios.learn(target(), prompt(1_000), Usage(input_tokens=1_400))
    assert ratios.expected(target().name, 10_000).tokens == 14_000


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (prompt(), Usage(input_tokens=5_000, estimated=True)),
        (prompt(media_tokens=700), Usage(input_tokens=5_000)),
        (prompt(), Usage(input_tokens=5_000, image_input_tokens=4_000)),
        (prompt(), Usage(input_tokens=5_000, audio_input_tokens=4_000)),
        (prompt(), Usage(input_tokens=5_000, fees={"web_search": 2})),
        (prompt(), Usage(input_tokens=5_000, passes=(Pass(usage=Usage(input_tokens=2_500)),))),
        (prompt(), Usage()),
        (prompt(tokens=0), Usage(input_tokens=5_000)),
        (prompt(tokens=3, text="hi"), Usage(input_tokens=5_000)),
        (replace(prompt(), body={"input": TEXT}), Usage(input_tokens=5_000)),
    ],
    ids=[
        "estimated",
        "media",
        "images",
        "audio",
        "search",
        "runs",
        "nothing",
        "no-estimate",
        "tiny",
        "vectors",
    ],
)
def test_what_is_not_plain_text_that_a_provider_counted_teaches_nothing(asked: Prompt, said: Usage) -> None:
    ratios = TokenRatios()
    ratios.learn(target(), asked, said)
    assert (ratios.rows(), ratios.changed) == ([], False)


def test_short_prompts_and_other_scripts_are_kinds_of_their_own() -> None:
    ratios = TokenRatios()
    for _ in range(40):
        ratios.learn(target(), prompt(1_000), Usage(input_tokens=1_100))
        ratios.learn(target(), prompt(1_000, OTHER), Usage(input_tokens=1_800))
        ratios.learn(target(), prompt(20, "Hello there, who are you?"), Usage(input_tokens=50))
    assert ratios.expected(target().name, 1_000).tokens == 1_100
    assert ratios.expected(target().name, 1_000, "other").tokens == 1_800
    assert ratios.expected(target().name, 20).tokens == 50


@pytest.mark.parametrize(
    ("text", "tokens", "kind"),
    [
        (TEXT, 1_000, "latin"),
        (OTHER, 1_000, "other"),
        (TEXT, 20, "short"),
        (TEXT + "\u201cquoted\u201d", 1_000, "latin"),
        ([{"type": "text", "text": OTHER}], 1_000, "other"),
        ([{"type": "image_url"}], 1_000, "latin"),
        ([], 1_000, "latin"),
        (None, 1_000, "latin"),
        (7, 1_000, "latin"),
        ("\ud800" * 300, 1_000, "latin"),
    ],
)
def test_the_kind_of_any_prompt_is_told(text: Any, tokens: int, kind: str) -> None:
    assert kind_of({"messages": [{"role": "user", "content": text}]}, tokens) == kind
    assert kind_of({"messages": text}, 1_000) == "latin"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("openrouter/anthropic/claude-3.5-sonnet:beta", "openrouter/anthropic/claude-3.5-sonnet"),
        ("openai/gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("google/gemini-2.5-flash-preview-05-20", "google/gemini-2.5-flash"),
        ("mistral/mistral-large-latest", "mistral/mistral-large"),
        ("vertex/claude-opus-4-7@20260416", "vertex/claude-opus-4-7"),
        ("p/-latest", "p/-latest"),
        ("p/@x", "p/@x"),
        ("", ""),
    ],
)
def test_a_family_is_a_model_without_its_date(name: str, family: str) -> None:
    assert family_of(name) == family


def test_a_date_shares_what_its_model_has_learned_and_providers_share_nothing() -> None:
    ratios = taught(1.5, 60)
    dated, elsewhere = target("anthropic/claude-sonnet-5-20260801"), target("vertex/claude-sonnet-5")
    assert ratios.expected(dated.name, 1_000).tokens == pytest.approx(1_500, rel=0.05)
    assert (
        ratios.expected(elsewhere.name, 1_000).tokens == TokenRatios().expected(elsewhere.name, 1_000).tokens
    )
    assert ratios.spread("claude-sonnet-5", "estimate", "latin")[0] == pytest.approx(1.5, rel=0.05)


NUMBERS = st.integers(min_value=-(2**63), max_value=2**63)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=90))
def test_nothing_that_is_learned_is_no_number(pairs: list[tuple[int, int]]) -> None:
    ratios = TokenRatios()
    for ours, told in pairs:
        ratios.learn(target(), prompt(ours), Usage(input_tokens=told))
    for tokens in (0, 1, 10, 1_000, 10**9):
        found = ratios.expected(target().name, tokens)
        assert 0 <= found.low <= max(1, found.tokens) and found.tokens <= max(1, found.high)
        _, low, high = prior("anthropic/claude-sonnet-5", "estimate", kind_of({}, tokens))
        trust = TRUST_SHORT if tokens < 128 else TRUST
        assert low / trust * tokens - 1 <= found.tokens <= max(1, tokens) * high * trust + 1
    for row in token_ratios.decode(ratios.dump()):
        assert row.sound and math.isfinite(row.error_share)


def test_families_are_bounded_and_the_least_recent_is_forgotten() -> None:
    ratios = TokenRatios()
    kept = target("a/kept")
    for number in range(3 * FAMILIES_MAX):
        ratios.learn(target(f"a/m{number}x"), prompt(), Usage(input_tokens=1_300))
        ratios.learn(kept, prompt(), Usage(input_tokens=1_300))
    found = {row.family for row in ratios.rows()}
    assert len(found) == FAMILIES_MAX and {"a/kept", f"a/m{3 * FAMILIES_MAX - 1}x"} <= found
    assert "a/m0x" not in found
    assert len(ratios.rows()) <= ROWS_MAX


def test_targets_of_one_family_are_bounded_too() -> None:
    ratios = TokenRatios()
    for number in range(10 * FAMILIES_MAX):
        ratios.learn(target(f"a/m:{number}"), prompt(), Usage(input_tokens=1_300))
    assert len(ratios.rows()) == 1 and len(ratios._recent) <= 2 * FAMILIES_MAX


def test_a_file_that_says_more_than_any_provider_is_believed_to_is_cut_to_that() -> None:
    ratios = TokenRatios()
    saved = Ratio(
        family=target().name,
        basis="estimate",
        kind="latin",
        ratio=8_000.0,
        low=8_000.0,
        high=8_000.0,
        samples=60,
        logs=[9.0] * 60,
    )
    ratios.restore(token_ratios.encode([saved]))
    _, _, high = prior(target().name, "estimate", "latin")
    assert ratios.expected(target().name, 10_000).tokens == pytest.approx(10_000 * high * TRUST, rel=0.01)


def test_a_file_of_more_rows_than_there_can_be_is_none() -> None:
    row = Ratio(family="a/b", basis="estimate", kind="latin", ratio=1.0, low=1.0, high=1.0, samples=1)
    assert len(token_ratios.decode(token_ratios.encode([row] * ROWS_MAX))) == ROWS_MAX
    with pytest.raises(ValueError, match="cannot be"):
        token_ratios.decode(token_ratios.encode([row] * (ROWS_MAX + 1)))


def test_what_was_learned_survives_a_restart_in_a_file_of_the_owner(tmp_path: Path) -> None:
    path = tmp_path / "state" / token_ratios.FILE
    before = taught(1.5, 60)
    file(before, path).save()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not before.changed
    after = TokenRatios()
    file(after, path).open()
    assert after.expected(target().name, 5_000) == before.expected(target().name, 5_000)
    assert [row.samples for row in token_ratios.load(path.parent)] == [60]
    assert TEXT[:20].encode() not in path.read_bytes()


def file(ratios: TokenRatios, path: Path) -> StateFile:
    return StateFile(ratios, path, log=logging.getLogger("test"), anew="the ratios are learned anew")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"version":9,"ratios":[]}',
        b'{"version":1,"ratios":[{"family":"a/b","basis":"estimate","kind":"latin","ratio":-1,"low":1,'
        b'"high":1,"samples":1}]}',
        b'{"version":1,"ratios":[{"family":"a/b","basis":"estimate","kind":"latin","ratio":1,"low":1,'
        b'"high":1,"samples":1,"logs":[1e300]}]}',
        b"\xff\xfe",
        b"[" * 200_000,
    ],
)
def test_a_damaged_file_is_moved_aside_and_all_is_learned_anew(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / token_ratios.FILE
    path.write_bytes(data)
    assert token_ratios.load(tmp_path) == []
    ratios = TokenRatios()
    file(ratios, path).open()
    assert ratios.rows() == []
    assert not path.exists() and path.with_suffix(".damaged").read_bytes() == data


def test_a_lost_file_is_no_harm(tmp_path: Path) -> None:
    ratios = TokenRatios()
    file(ratios, tmp_path / token_ratios.FILE).open()
    assert ratios.rows() == [] == token_ratios.load(tmp_path)


@pytest.mark.parametrize("basis", ["estimate", "count"])
@pytest.mark.parametrize("kind", ["short", "latin", "other"])
@pytest.mark.parametrize("family", ["anthropic/claude-x", "openai/gpt-5", "x/llama-4", "x/unheard-of", ""])
def test_priors_are_ordered_and_only_known_vocabularies_are_narrow(
    family: str, basis: Any, kind: Any
) -> None:
    middle, low, high = prior(family, basis, kind)
    assert 0.3 < low < middle < high < 5
    if basis == "count":
        assert (high / low < 1.1) is (family == "openai/gpt-5")


def test_the_metrics_show_ratio_and_error_of_configured_families_only() -> None:
    ratios = taught(1.5, 60)
    ratios.learn(target("open/invented-by-a-client"), prompt(), Usage(input_tokens=1_000))
    shown = {name: list(values) for name, _, _, values in ratios.families({"anthropic/claude-sonnet-5"})}
    labels, value = shown["farthing_token_ratio"][0]
    assert labels == {"family": "anthropic/claude-sonnet-5", "basis": "estimate", "kind": "latin"}
    assert value == pytest.approx(1.5, rel=0.05)
    assert 0.05 < shown["farthing_token_ratio_error_share"][0][1] < 0.5
    assert all(len(rows) == 1 for rows in shown.values())
    assert all(len(list(rows)) == 2 for _, _, _, rows in ratios.families())


def test_a_count_says_how_far_off_it_may_be() -> None:
    assert times(1_000, (1.2, 1.0, 1.8)).error_share == pytest.approx(0.5)
    assert times(0, (1.2, 1.0, 1.8)).error_share == 0.0
    assert Ratio(
        family="a/b", basis="count", kind="latin", ratio=2.0, low=1.0, high=3.0, samples=1
    ).error_share == pytest.approx(0.5)


def test_learning_from_one_more_request_costs_next_to_nothing() -> None:
    ratios, asked, said = taught(1.5, 100), prompt(), Usage(input_tokens=1_500)
    one = target()

    def eight() -> None:
        for _ in range(EVERY):
            ratios.learn(one, asked, said)

    assert turns(eight) < 40_000
