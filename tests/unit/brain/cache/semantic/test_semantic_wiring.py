"""What a configuration of the semantic cache comes to."""

import asyncio
import json
import time
from decimal import Decimal
from pathlib import Path

import pytest
from tests.asking import ACME

from farthing.brain.cache.semantic.scope import PARTITIONING
from farthing.brain.cache.semantic.terms import in_language
from farthing.config import Config, RemoteEmbedderConfig, SemanticConfig, loads
from farthing.edge.openai import Asked, Reader
from farthing.errors import ConfigError, InvalidRequest
from farthing.guarantees.certificates.semantic_cache import Certificate, Scope, certificate_path, save
from farthing.models.embed.onnx import OnnxEmbedder
from farthing.types import DEFAULT_ENDPOINT, Endpoint, Json, Request, Semantics, Target
from farthing.wiring.semantic.cache import (
    GAUGES,
    SemanticParts,
    answer_policies,
    build_embedder,
    build_reading,
    build_semantic,
    build_semantics,
)
from farthing.wiring.semantic.certificates import uncertified_languages
from farthing.wiring.warnings import advised

BASE = """
[providers.a]
base_url = "http://127.0.0.1:9/v1"
[tiers.cheap]
targets = ["a/first"]
"""
ON = BASE + '[endpoints.faq.cache.semantic]\nmode = "on"\n'


def wired(text: str, state_dir: Path) -> tuple[Semantics | None, bool]:
    """The terms of `faq` and whether there is a cache, as the gateway builds them."""

    async def run() -> tuple[Semantics | None, bool]:
        config = loads(text, {})
        parts = SemanticParts(state_dir)
        endpoints = {
            name: Endpoint(name=name, semantic=build_semantics(endpoint.cache.semantic))
            for name, endpoint in config.endpoints.items()
        }
        try:
            answers, certified = build_semantic(
                config,
                parts,
                endpoints,
                target_of=lambda name: None,
                remote=lambda wanted, target: OnnxEmbedder(),
                judge=None,
            )
            return certified["faq"].semantic, answers is not None
        finally:
            await parts.aclose()

    return asyncio.run(run())


def certificate(state_dir: Path, **changes: object) -> None:
    """A certificate for `faq` under what is shipped, where the gateway looks for one of its language."""
    scope = Scope(
        embedder=OnnxEmbedder.name, verifier=build_reading().name, cosine_min=0.7, partitioning=PARTITIONING
    )
    fields: Json = {
        "endpoint": "faq",
        "threshold": 0.83,
        "risk_max": 0.01,
        "delta": 0.05,
        "n": 400,
        "wrong": 0,
        "upper": 0.008,
        "upper_anytime": 0.009,
        "hits": 400,
        "hits_wrong": 0,
        "entries": 100,
        "grid": (0.83,),
        "made_unix_s": time.time(),
        "audited_from_unix_s": 0.0,
        "audited_to_unix_s": 1.0,
        "scope": scope,
        "judged_by": ("words",),
        "policies": (),
        "data_hash": "",
        **changes,
    }
    made = Certificate(**fields)
    save(certificate_path(state_dir, "faq", made.language), made)


def test_off_everywhere_is_no_cache_and_opens_nothing(tmp_path: Path) -> None:
    assert wired(BASE + "[endpoints.faq]\n", tmp_path / "state") == (None, False)
    assert not (tmp_path / "state").exists()
    assert set(SemanticParts(tmp_path).gauges()) == set(GAUGES)


def test_observing_needs_neither_threshold_nor_certificate(tmp_path: Path) -> None:
    terms, there = wired(ON.replace('"on"', '"observe"'), tmp_path)
    assert there and terms is not None and (terms.mode, terms.threshold) == ("observe", None)


def test_on_needs_a_threshold_or_a_certificate_and_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="farthing calibrate cache --endpoint faq"):
        wired(ON, tmp_path)
    terms, _ = wired(ON + "threshold = 0.9\n", tmp_path)
    assert terms is not None and (terms.mode, terms.threshold) == ("on", 0.9)


def test_a_certificate_that_holds_gives_the_threshold(tmp_path: Path) -> None:
    certificate(tmp_path)
    terms, _ = wired(ON, tmp_path)
    assert terms is not None and (terms.mode, terms.threshold) == ("on", 0.83)


@pytest.mark.parametrize(
    "changes",
    [
        {"risk_max": 0.05, "upper": 0.04},
        {"delta": 0.2},
        {"made_unix_s": 0.0},
        {"made_unix_s": 1e11},
        {"endpoint": "other"},
        {"threshold": 0.01},
        {"n": 40},
        {"wrong": 9},
    ],
    ids=["looser", "less sure", "old", "of the future", "another's", "no threshold", "too few", "wrong sum"],
)
def test_a_certificate_that_does_not_hold_lets_the_endpoint_observe(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    certificate(tmp_path, **changes)
    terms, _ = wired(ON, tmp_path)
    assert terms is not None and terms.mode == "observe"


GERMAN_TOO = ON + 'languages = ["en", "de"]\n'


def test_english_alone_is_allowed_where_nothing_is_said(tmp_path: Path) -> None:
    terms, _ = wired(ON + "threshold = 0.9\n", tmp_path)
    assert terms is not None and (terms.languages, terms.certified) == (("en",), ())


def test_a_language_is_served_under_its_own_certificate(tmp_path: Path) -> None:
    certificate(tmp_path)
    certificate(tmp_path, language="de", threshold=0.97)
    terms, _ = wired(GERMAN_TOO, tmp_path)
    assert terms is not None and (terms.mode, terms.threshold) == ("on", 0.83)
    assert [(one.language, one.threshold) for one in terms.certified] == [("de", 0.97)]
    german = in_language(terms, "de")
    assert (german.mode, german.threshold) == ("on", 0.97)


def test_a_threshold_is_a_word_on_english_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    terms, _ = wired(GERMAN_TOO + "threshold = 0.9\n", tmp_path)
    assert terms is not None and (terms.mode, terms.threshold, terms.certified) == ("on", 0.9, ())
    assert (in_language(terms, "de").mode, in_language(terms, "de").threshold) == ("observe", None)
    assert "--endpoint faq --language de --apply" in caplog.text
    assert uncertified_languages(loads(GERMAN_TOO, {}), tmp_path) == (caplog.records[0].getMessage(),)
    certificate(tmp_path, language="de")
    assert uncertified_languages(loads(GERMAN_TOO, {}), tmp_path) == ()


def test_a_certificate_holds_for_its_own_language_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate(tmp_path)
    english = certificate_path(tmp_path, "faq").read_bytes()
    certificate_path(tmp_path, "faq", "de").write_bytes(english)
    terms, _ = wired(GERMAN_TOO, tmp_path)
    assert terms is not None and terms.certified == ()
    assert "made from questions in 'en'" in caplog.text


def test_a_certificate_that_names_no_language_is_one_of_english(tmp_path: Path) -> None:
    certificate(tmp_path)
    path = certificate_path(tmp_path, "faq")
    plain = json.loads(path.read_bytes())
    del plain["language"]
    path.write_text(json.dumps(plain))
    terms, _ = wired(ON, tmp_path)
    assert terms is not None and (terms.mode, terms.threshold) == ("on", 0.83)


def test_without_english_nothing_is_said_of_it(tmp_path: Path) -> None:
    german = ON + 'languages = ["de"]\n'
    terms, _ = wired(german, tmp_path)
    assert terms is not None and terms.mode == "observe"
    certificate(tmp_path, language="de")
    terms, _ = wired(german, tmp_path)
    assert terms is not None and (terms.mode, terms.threshold) == ("on", None)
    assert in_language(terms, "de").threshold == 0.83


def test_a_remote_embedder_needs_a_price() -> None:
    remote = RemoteEmbedderConfig(provider="a", model="m", dims=8)
    target = Target(name="a/m", provider="a", model="m")
    with pytest.raises(ConfigError, match="usd_per_million"):
        build_embedder(SemanticConfig(embedder=remote), lambda name: target, lambda *given: OnnxEmbedder())
    priced = RemoteEmbedderConfig(provider="a", model="m", dims=8, usd_per_million=Decimal("0.02"))
    _, charge = build_embedder(
        SemanticConfig(embedder=priced), lambda name: target, lambda *given: OnnxEmbedder()
    )
    assert charge is not None and charge(4_000_000) == 20_000_020, "a million tokens, and one that is begun"


def policies(text: str) -> str:
    config: Config = loads(text, {})
    return answer_policies(config, {"faq": Endpoint(name="faq")})["faq"]


@pytest.mark.parametrize(
    "more",
    [
        '[endpoints.faq.cache.semantic]\nmode = "observe"\n',
        "[endpoints.faq.cache]\nttl_s = 5\n",
        '[log]\nlevel = "debug"\n',
        "[server]\nrequests_max = 5\n",
        '[endpoints.other]\ntask = "faq"\n',
        '[[prices]]\ntarget = "a/first"\ninput = 1\noutput = 2\n',
        "[brain]\ntimeout_s = 1\n",
    ],
)
def test_what_cannot_change_an_answer_keeps_what_was_learned(more: str) -> None:
    assert policies(BASE + more) == policies(BASE)


@pytest.mark.parametrize(
    "more",
    [
        '[endpoints.faq]\ntier = "cheap"\n',
        "[endpoints.faq]\noutput_tokens_max = 9\n",
        '[tiers.expensive]\ntargets = ["a/second"]\n',
        '[route]\ndefault = "cheap"\n',
        '[aliases]\nsmall = "cheap"\n',
        '[[answers]]\nname = "a"\ntext = "b"\nphrases = ["c"]\n',
        '[[guard.deny]]\nname = "a"\ncontains = ["b"]\n',
    ],
)
def test_what_decides_who_answers_begins_anew(more: str) -> None:
    assert policies(BASE + more) != policies(BASE)
    other = BASE.replace("127.0.0.1:9", "127.0.0.1:8")
    assert policies(other) != policies(BASE), "another model may answer at another address"


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ('judge = "nobody/model"', "unknown provider"),
        ("threshold = 1.5", "at most 1"),
        ("audit_share = 2", "at most 1"),
        ("confidence = 1.0", "less than 1"),
        ("risk_max = 0", "more than 0"),
        ('never = [" "]', "empty phrase"),
        ('adapt = ["name"]', "personal"),
        ('adapt = ["colour"]', "colour"),
        ('stale = "maybe"', "stale"),
        (
            '[cache.semantic.embedder]\nkind = "remote"\nprovider = "b"\nmodel = "m"\ndims = 8',
            "unknown provider",
        ),
        ('[admin]\nport = 9000\nhost = "0.0.0.0"', "open to others"),
        ('languages = ["german"]', "two letters"),
        ("languages = []", "no language is allowed"),
        ("[admin]\nport = 8960", "needs its own port"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(more: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        loads(ON + more + "\n", {})


# -- how clients say it -----------------------------------------------------------------------------

SEMANTIC = Endpoint(name="faq", semantic=Semantics(mode="on", threshold=0.9))


def read(endpoint: Endpoint = SEMANTIC, **headers: str) -> Request:
    raw = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    asked = Asked(id="r-1", tenant=ACME, headers=raw, received_s=0.0, body_bytes=10)
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello?"}]}
    return Reader({}, endpoint, b"k" * 32).chat(body, asked)


def test_documents_are_named_in_a_header_in_any_order() -> None:
    assert read(x_farthing_documents="terms, returns@2 ,terms,").documents == ("returns@2", "terms")
    assert read().documents == ()


def test_too_many_documents_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        read(x_farthing_documents=",".join(f"d{n}" for n in range(65)))


def test_no_store_leaves_the_cache_out_and_no_cache_reads_nothing() -> None:
    kept = read(cache_control="no-store").endpoint
    assert (kept.cache_exact, kept.semantic) == ("off", None)
    fresh = read(cache_control="no-cache").endpoint
    assert fresh.cache_exact == "refresh"
    assert fresh.semantic is not None and fresh.semantic.mode == "observe"
    assert not fresh.semantic.counted, "who asked for it was not drawn"
    assert read(DEFAULT_ENDPOINT, cache_control="no-cache").endpoint.semantic is None


def test_an_endpoint_without_a_judge_is_warned_of() -> None:
    def warned(text: str) -> list[str]:
        lines = advised(loads(BASE + text, {}), None, {})
        return [line.partition(":")[0] for line in lines if "judge" in line]

    unjudged = '[endpoints.faq.cache.semantic]\nmode = "observe"\n'
    assert warned(unjudged) == ["endpoints.faq.cache.semantic.judge"]
    assert warned(f'{unjudged}judge = "a/first"\n') == []
