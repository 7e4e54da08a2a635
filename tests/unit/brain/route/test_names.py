"""Which model a name means: among several providers, in other spellings, and by way of aliases."""

import pytest
from tests.asking import asked
from tests.pace import turns

from farthing import config
from farthing.config import Config
from farthing.errors import ConfigError, UnknownModel
from farthing.models.discovery.listing import can_be_asked, named_for_chat
from farthing.models.pricing.catalogue import Catalogue
from farthing.models.targets import SUGGESTIONS_MAX, Targets
from farthing.types import Traits
from farthing.wiring.build import build_router, model_names
from farthing.wiring.providers import describe_model, list_models

CATALOGUE = Catalogue.load()
NOTHING = Traits()

NO_SIGN = """
eclipse-chat:7b guardian-chat:8b vanguard:7b whisperer:3b attsy qwen3:4b llava:7b rankine-chat bgem-chat
minilmer lifeguards-7b emblem:7b gpt-oss:20b cliptic
"""
A_SIGN = """
nomic-embed-text:latest mxbai-embed-large snowflake-arctic-embed2:568m qwen3-embedding:0.6b embeddinggemma
bge-m3 all-minilm multilingual-e5-large openai/whisper-large-v3 orpheus-tts cohere/rerank-v3
Qwen3-Reranker-4B llama-guard3 granite3-guardian:8b shieldgemma:2b gpt-oss-safeguard:20b clip-vit-base
text-embedding-3-small
"""


def configured(*providers: str, more: str = "", **models: list[str]) -> Config:
    text = "".join(
        f'[providers.{name}]\nbase_url = "http://127.0.0.1:1/v1"\nmodels = {models.get(name, [])}\n'
        for name in providers
    )
    return config.loads(text + more, {})


def meant(name: str, *providers: str, more: str = "", **models: list[str]) -> str:
    """The target that `name` is routed to, or the error's words."""
    chosen = configured(*providers, more=more, **models)
    router = build_router(chosen, Targets(chosen, CATALOGUE))
    try:
        return router.choose(asked(model=name), NOTHING).targets[0].name
    except UnknownModel as unknown:
        return str(unknown)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("gpt-5-mini", "openai/gpt-5-mini"),
        ("gpt-5-mini-2025-08-07", "openai/gpt-5-mini-2025-08-07"),
        ("GPT-5-Mini", "openai/gpt-5-mini"),
        ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5-20250929"),
        ("anthropic/gpt-5-mini", "anthropic/gpt-5-mini"),
        ("openai/made-up-yesterday", "openai/made-up-yesterday"),
        ("OpenAI/gpt-5-mini", "openai/gpt-5-mini"),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", "openai/ft:gpt-4o-mini-2024-07-18:acme::abc"),
    ],
)
def test_a_name_that_one_provider_lists_goes_there(name: str, target: str) -> None:
    assert meant(name, "openai", "anthropic") == target


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("openrouter/openai/gpt-5", "openrouter/openai/gpt-5"),
        ("openai/gpt-5", "openrouter/openai/gpt-5"),
        ("google/gemini-2.5-flash", "openrouter/google/gemini-2.5-flash"),
        ("claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("anthropic/claude-haiku-4.5", "anthropic/claude-haiku-4.5"),
    ],
)
def test_a_name_with_a_vendor_goes_to_the_aggregator_unless_the_vendor_is_there(
    name: str, target: str
) -> None:
    assert meant(name, "anthropic", "openrouter") == target


def test_models_behind_a_prefix_are_asked_for_as_they_were_written() -> None:
    assert meant("models/gemini-2.5-flash", "openai", "gemini") == "gemini/models/gemini-2.5-flash"


def test_a_name_that_several_list_is_refused_with_the_names_that_say_which() -> None:
    said = meant("gpt-5-mini", "openai", "azure", "anthropic")
    assert said == 'more than one provider has "gpt-5-mini": ask for openai/gpt-5-mini or azure/gpt-5-mini'


@pytest.mark.parametrize(
    ("name", "suggested"),
    [
        ("gpt-5-mni", "openai/gpt-5-mini"),
        ("claude-sonet-4-5", "anthropic/claude-sonnet-4-5"),
        ("openai-gpt-5-mini", "openai/gpt-5-mini"),
        ("gpt5-mini", "openai/gpt-5-mini"),
        ("clade-haiku-4-5-20251001", "anthropic/claude-haiku-4-5-20251001"),
    ],
)
def test_a_name_that_nobody_lists_is_refused_with_the_nearest(name: str, suggested: str) -> None:
    assert suggested in meant(name, "openai", "anthropic")


def test_a_name_near_nothing_is_refused_with_what_there_is_and_how_to_ask_for_more() -> None:
    said = meant("zzzz", "openai", "anthropic")
    assert 'there is no model "zzzz"' in said and "openai/zzzz or anthropic/zzzz" in said
    assert ". Ask for an unlisted model" in said


def test_of_many_names_the_first_are_told_and_that_there_are_more() -> None:
    aliases = "\n".join(["[aliases]", *(f'alias-{number} = "openai/gpt-5-mini"' for number in range(11))])
    said = meant("zzzz", "openai", "anthropic", more=aliases)
    assert "alias-8, and more in GET /v1/models. Ask for" in said and "alias-10" not in said


def test_a_model_that_no_list_has_yet_is_told_how_to_be_asked_for() -> None:
    said = meant("gpt-7-mini", "openai", "anthropic")
    assert "did you mean openai/gpt-5-mini" in said and "openai/gpt-7-mini or anthropic/gpt-7-mini" in said
    assert "up/my-model or second/my-model" in meant("my-model", "up", "second")


def test_with_one_provider_every_name_passes() -> None:
    for name in ("gpt-9", "openai/gpt-5", "org/model:tag", "Ünïcode", "two words"):
        assert meant(name, "only") == f"only/{name}"


@pytest.mark.parametrize("name", ["openai/", "/", "/gpt-5", "anthropic//"])
def test_half_a_name_is_none(name: str) -> None:
    assert name in meant(name, "openai", "anthropic") or meant(name, "openai", "anthropic") == "anthropic//"


def test_what_a_provider_said_or_its_operator_wrote_counts_before_the_price_list() -> None:
    assert meant("gpt-5-mini", "openai", "azure", azure=["my-deployment"]) == "openai/gpt-5-mini"
    assert meant("my-deployment", "openai", "azure", azure=["my-deployment"]) == "azure/my-deployment"
    assert meant("qwen3:4b", "openai", "ollama", ollama=["qwen3:4b"]) == "ollama/qwen3:4b"
    dated = ["claude-sonnet-4-5-20250929"]
    assert meant("Claude-Sonnet-4-5", "openai", "anthropic", anthropic=dated) == "anthropic/claude-sonnet-4-5"
    assert meant("claude-opus-4-1", "openai", "anthropic", anthropic=dated) == "anthropic/claude-opus-4-1"


def test_a_configured_model_is_meant_before_one_that_is_only_listed() -> None:
    tiers = '[tiers.cheap]\ntargets = ["azure/gpt-5-mini"]\n'
    assert meant("gpt-5-mini", "openai", "azure", more=tiers) == "azure/gpt-5-mini"
    both = '[tiers.cheap]\ntargets = ["azure/gpt-5-mini", "openai/gpt-5-mini"]\n'
    assert meant("gpt-5-mini", "openai", "azure", more=both) == "azure/gpt-5-mini", "the first that is named"


def test_a_provider_in_front_wins_over_the_bare_name_of_anothers_model() -> None:
    tiers = '[tiers.cheap]\ntargets = ["groq/openai/gpt-oss-20b", "openai/gpt-5-mini"]\n'
    assert meant("openai/gpt-oss-20b", "openai", "groq", more=tiers) == "openai/gpt-oss-20b"


def test_an_alias_wins_over_every_model_of_its_name() -> None:
    more = '[tiers.cheap]\ntargets = ["anthropic/claude-haiku-4-5"]\n[aliases]\n"gpt-5-mini" = "cheap"\n'
    assert meant("gpt-5-mini", "openai", "anthropic", more=more) == "anthropic/claude-haiku-4-5"


def test_looking_for_names_is_bounded_whatever_is_asked() -> None:
    targets = Targets(configured("openai", "anthropic", "openrouter", "azure"), CATALOGUE)
    targets.suggestions("warm")
    names = (f"{'gpt-5-mini-' * 40}{number}" for number in range(1_000))

    def look() -> None:
        for _ in range(10):
            name = next(names)
            assert targets.open(name) is None and len(targets.suggestions(name)) <= SUGGESTIONS_MAX

    assert turns(look) / 10 < 1_000_000
    again = turns(lambda: [targets.open("claude-haiku-4-5-20251001") for _ in range(1_000)]) / 1_000
    assert again < 5_000, "looked up once"


def test_many_invented_names_do_not_fill_the_memory_nor_push_a_known_one_out() -> None:
    targets = Targets(configured("openai", "anthropic"), CATALOGUE)
    for number in range(3_000):
        targets.open(f"invented-{number}")
    assert len(targets._opened) <= 1_001
    found = targets.open("gpt-5-mini")
    assert found is not None and found.name == "openai/gpt-5-mini"


@pytest.mark.parametrize(
    ("aliases", "says"),
    [
        ('a = "b"\nb = "a"', "leads in a circle: a -> b -> a"),
        ('a = "a"', "leads in a circle: a -> a"),
        ('a = "b"\nb = "c"\nc = "b"', "leads in a circle: a -> b -> c -> b"),
        ('a = "nothing"', 'unknown tier "nothing"; there is "cheap"; a model is written "provider/model"'),
        ('a = "farthing/nothing"', 'unknown endpoint "nothing"'),
        ('auto = "cheap"', '"auto" leaves the choice to the rules'),
        ('"farthing/old" = "cheap"', 'a name that begins with "farthing/" can only mean an endpoint'),
        ('"farthing/agents" = "farthing/other"', "the name of an endpoint, which the alias would hide"),
        ('" a" = "cheap"', "white space"),
        ('"" = "cheap"', "is empty"),
    ],
)
def test_aliases_that_lead_nowhere_are_refused_at_the_check(aliases: str, says: str) -> None:
    tiers = '[tiers.cheap]\ntargets = ["openai/gpt-5-mini"]\n[endpoints.agents]\n[endpoints.other]\n'
    with pytest.raises(ConfigError) as refused:
        configured("openai", more=f"{tiers}[aliases]\n{aliases}\n")
    assert says in str(refused.value)


def test_a_target_that_the_gateway_asks_by_itself_is_not_an_alias() -> None:
    more = (
        '[tiers.cheap]\ntargets = ["openai/x"]\n[aliases]\n"openai/judge" = "farthing/agents"\n'
        '[endpoints.agents.quality]\njudge = "openai/judge"\n'
    )
    with pytest.raises(ConfigError, match="is an alias; name the model itself"):
        configured("openai", more=more)


def test_an_alias_may_stand_for_another_in_any_order() -> None:
    more = (
        '[tiers.cheap]\ntargets = ["openai/gpt-5-mini"]\n[endpoints.agents]\n[aliases]\n'
        'c = "b"\nb = "a"\na = "cheap"\ne = "d"\nd = "farthing/agents"\nf = "auto"\ng = "f"\n'
    )
    chosen = configured("openai", more=more)
    router = build_router(chosen, Targets(chosen, CATALOGUE))
    assert [router.choose(asked(model=name), NOTHING).tier for name in "abc"] == ["cheap"] * 3
    names = model_names(router)
    assert (names["d"], names["e"], names["c"]) == ("farthing/agents", "farthing/agents", "c")
    assert [router.endpoint_of(name) for name in ("d", "e", "c", "g")] == ["agents", "agents", None, None]


def test_the_list_names_what_can_be_asked_for_and_nothing_else() -> None:
    more = (
        '[tiers.cheap]\ntargets = ["openai/gpt-5-mini"]\n[endpoints.agents]\n'
        '[aliases]\nsmart = "auto"\nmini = "openai/gpt-5-mini"\n'
    )
    chosen = configured(
        "openai", "anthropic", more=more, anthropic=["claude-haiku-4-5-20251001", "gpt-5-mini"]
    )
    targets = Targets(chosen, CATALOGUE)
    router = build_router(chosen, targets)
    listed = list_models(router, targets)
    ids = [entry["id"] for entry in listed]
    assert ids == [
        "auto",
        "cheap",
        "smart",
        "mini",
        "farthing/agents",
        "openai/gpt-5-mini",
        "gpt-5-mini",
        "claude-haiku-4-5-20251001",
        "anthropic/gpt-5-mini",  # its own name means the configured one
    ]
    for name in ids:
        assert router.choose(asked(model=name), NOTHING).targets
    owners = {entry["id"]: entry["owned_by"] for entry in listed}
    assert owners["gpt-5-mini"] == owners["mini"] == "openai" and owners["auto"] == "farthing"
    by_id = {entry["id"]: entry for entry in listed}
    assert by_id["claude-haiku-4-5-20251001"]["context_window"]


def test_one_model_is_described_though_it_is_not_listed_and_none_that_nobody_has() -> None:
    chosen = configured("openai", "anthropic")
    targets = Targets(chosen, CATALOGUE)
    router = build_router(chosen, targets)
    for name, owner in (("gpt-5-mini-2025-08-07", "openai"), ("anthropic/claude-haiku-4-5", "anthropic")):
        entry = describe_model(name, router, targets)
        assert entry is not None and (entry["id"], entry["owned_by"]) == (name, owner)
    for name in ("made-up", "openai/made-up", "auto", "farthing/nowhere", ""):
        assert describe_model(name, router, targets) is None


def test_without_a_tier_only_what_can_be_answered_is_listed() -> None:
    more = '[endpoints.agents]\n[aliases]\nsmart = "auto"\nall = "farthing/agents"\n'
    chosen = configured("openai", "anthropic", more=more, openai=["gpt-5-mini"])
    targets = Targets(chosen, CATALOGUE)
    assert [entry["id"] for entry in list_models(build_router(chosen, targets), targets)] == ["gpt-5-mini"]


@pytest.mark.parametrize(
    "name",
    [
        "eclipse-chat:7b",
        "guardian-chat:8b",
        "vanguard:7b",
        "whisperer:3b",
        "attsy",
        "qwen3:4b",
        "llava:7b",
        "rankine-chat",
        "bgem-chat",
        "minilmer",
        "lifeguards-7b",
        "emblem:7b",
        "gpt-oss:20b",
        "cliptic",
    ],
)
def test_a_part_of_a_word_in_a_name_is_no_sign(name: str) -> None:
    assert named_for_chat(name)


@pytest.mark.parametrize(
    "name",
    [
        "nomic-embed-text:latest",
        "mxbai-embed-large",
        "snowflake-arctic-embed2:568m",
        "qwen3-embedding:0.6b",
        "embeddinggemma",
        "bge-m3",
        "all-minilm",
        "multilingual-e5-large",
        "openai/whisper-large-v3",
        "orpheus-tts",
        "cohere/rerank-v3",
        "Qwen3-Reranker-4B",
        "llama-guard3",
        "granite3-guardian:8b",
        "shieldgemma:2b",
        "gpt-oss-safeguard:20b",
        "clip-vit-base",
        "text-embedding-3-small",
    ],
)
def test_a_whole_word_of_what_does_not_chat_is_a_sign(name: str) -> None:
    assert not named_for_chat(name)


def test_what_neither_chats_nor_embeds_is_not_offered() -> None:
    for name in ("whisper-1", "dall-e-3", "tts-1-hd", "gpt-4o-realtime-preview", "omni-moderation-latest"):
        assert not can_be_asked(name), name
    for name in ("gpt-5-mini", "text-embedding-3-small", "gpt-4o-audio-preview", "gemini-2.5-flash-image"):
        assert can_be_asked(name), name


OURS = """
[tiers.cheap]
targets = ["up/small"]
[tiers.gpt-5]
targets = ["up/small"]
[endpoints.support-faq]
task = "faq"
"""


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("chaep", "did you mean cheap?"),
        ("cheep", "did you mean cheap?"),
        ("chep", "did you mean cheap?"),
        ("Cheap", "did you mean cheap"),
        ("atuo", "did you mean auto?"),
    ],
)
def test_a_slip_in_a_name_of_ours_is_no_model_of_the_only_provider(name: str, wanted: str) -> None:
    said = meant(name, "up", more=OURS)
    assert said.startswith(f'there is no model "{name}": {wanted}')
    assert said.endswith(f"Ask for an unlisted model with its provider: up/{name}")
    assert meant(f"up/{name}", "up", more=OURS) == f"up/{name}"
    assert meant(name, "up", more=OURS, up=[name]) == f"up/{name}", "the provider has it"


@pytest.mark.parametrize(
    "name",
    [
        "cheapest",
        "cheap2",
        "gpt-6",
        "gpt-52",
        "chip",
        "support",
        "made-up",
        "support-faq",
        "suport-faq",
        "cheat",
    ],
)
def test_what_is_not_just_a_slip_goes_to_the_only_provider(name: str) -> None:
    """A name like an endpoint's is a model's as often: `coder` beside `codex`."""
    listed = '[endpoints.other]\nmodels = ["cheat"]\n'
    assert meant(name, "up", more=OURS + listed) == f"up/{name}"


def test_a_model_of_the_price_list_is_never_taken_for_a_slip() -> None:
    tiers = '[tiers.gpt-4o-minis]\ntargets = ["openai/gpt-5"]\n'
    assert meant("gpt-4o-mini", "openai", more=tiers) == "openai/gpt-4o-mini"
