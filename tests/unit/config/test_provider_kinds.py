"""What fits together where providers speak different dialects."""

import pytest

from farthing import config
from farthing.config import AnthropicProviderConfig, OpenAIProviderConfig
from farthing.errors import ConfigError

TWO = """
[providers.o]
base_url = "http://127.0.0.1:1/v1"
[providers.a]
kind = "anthropic"
base_url = "http://127.0.0.1:1"
[tiers.cheap]
targets = ["a/m"]
[tiers.expensive]
targets = ["o/m"]
"""

AZURE = "https://x.openai.azure.com/openai/deployments"


def test_without_a_kind_a_provider_speaks_chat_completions() -> None:
    read = config.loads(TWO, {}).providers
    assert isinstance(read["o"], OpenAIProviderConfig) and isinstance(read["a"], AnthropicProviderConfig)
    assert read["o"].drop == ("temperature", "top_p", "top_k") and "seed" in read["a"].drop


def test_of_claude_on_vertex_is_left_out_what_is_at_anthropic() -> None:
    at_google = '[providers.{}]\nkind = "vertex"\nproject = "p"\n'
    text = at_google.format("g") + at_google.format("c") + 'publisher = "anthropic"\n'
    own = at_google.format("own") + 'publisher = "anthropic"\ndrop = ["seed"]\n'
    read = config.loads(TWO + text + own, {}).providers
    assert read["c"].drop == read["a"].drop
    assert "top_p" not in read["g"].drop and read["own"].drop == ("seed",)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            'kind = "antropic"',
            'providers.x.kind: expected one of "openai", "anthropic", "responses", "gemini", "vertex", '
            '"bedrock", "plugin"',
        ),
        ('kind = "anthropic"\nbatch = true', 'only a provider of kind "openai" has batches'),
        (
            'kind = "anthropic"\ninclude_usage = true',
            'is a key of kind = "openai", this is kind = "anthropic"; remove it',
        ),
        ('kind = "plugin"\nbase_url = "http://127.0.0.1:1"', 'the key "plugin" is missing'),
        ('kind = "azure"', 'got the text "azure"; leave it out for "openai"'),
        ('kind = "vertex"\nproject = "our project"', "providers.x.project: expected the id of a project"),
        (
            'kind = "vertex"\nproject = "ours"\nlocation = "europe west4"',
            "providers.x.location: expected a location of Google Cloud",
        ),
        ('kind = "bedrock"', 'the key "region" is missing'),
        ('kind = "bedrock"\nregion = "Virginia"', "providers.x.region: expected the name of a region of AWS"),
        (
            'kind = "bedrock"\nregion = "us-east-1"\nauth = "none"\naws = { profile = "work" }',
            'is not used without auth = "aws"',
        ),
        (f'kind = "responses"\nbase_url = "{AZURE}/{{model}}"', 'only the kind "openai" fills in "{model}"'),
        (f'base_url = "{AZURE}/{{deployment}}"', 'nothing fills in "{deployment}"; write "{model}"'),
    ],
)
def test_what_does_not_fit_its_kind_is_refused(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.loads(f"[providers.x]\n{text}", {})
    assert fault in str(caught.value)
    derived = 'kind = "vertex"' in text or 'region = "Virginia"' in text
    assert not derived or "base_url" not in str(caught.value), "nobody wrote one"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'kind = "gemini"\nbase_url = "https://generativelanguage.googleapis.com"',
            'write "https://generativelanguage.googleapis.com/v1beta"',
        ),
        (
            'base_url = "https://generativelanguage.googleapis.com/v1beta"',
            'are at "https://generativelanguage.googleapis.com/v1beta/openai"; write that, or kind =',
        ),
        ('base_url = "https://generativelanguage.googleapis.com/v1beta/openai/"', ""),
        ('base_url = "https://x.openai.azure.com"', 'write "https://x.openai.azure.com/openai/v1"'),
        ('base_url = "https://x.openai.azure.com/openai/v1"', ""),
        ('base_url = "https://api.groq.com/v1"', 'write "https://api.groq.com/openai/v1"'),
        ('base_url = "https://api.groq.com/openai/v1/"', ""),
        ('base_url = "https://openrouter.ai/v1"', 'write "https://openrouter.ai/api/v1"'),
        ('base_url = "https://llm.example"', 'write "https://llm.example/v1"'),
        ('kind = "vertex"\nproject = "ours"', ""),
        (
            'kind = "bedrock"\nregion = "us-east-1"\n'
            'base_url = "https://bedrock-runtime.eu-west-1.amazonaws.com"',
            "calls are signed for us-east-1, and the address of base_url is in eu-west-1",
        ),
        (
            'kind = "bedrock"\nregion = "us-east-1"\n'
            'base_url = "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com"',
            "",
        ),
        (
            'kind = "bedrock"\nregion = "us-east-1"\nauth = "bearer"',
            "sends an API key of Bedrock, and there is",
        ),
    ],
)
def test_an_address_or_a_key_that_cannot_be_right_is_told_with_the_right_one(text: str, told: str) -> None:
    lines = config.advice(config.loads(f"[providers.x]\n{text}", {}))
    assert len(lines) == (1 if told else 0) and told in "".join(lines)


def test_a_setting_that_stands_before_the_first_table_is_told_so_where_it_does_not() -> None:
    with pytest.raises(ConfigError) as caught:
        config.loads(f'{TWO}state_dir = "/srv"\n', {})
    assert 'tiers.expensive: unknown key "state_dir"; write it before the first table' in str(caught.value)


def test_staying_needs_what_is_measured() -> None:
    text = TWO + "[prompt_cache]\nmeasure = false\nstay = true\n"
    (line,) = [one for one in config.advice(config.loads(text, {})) if one.startswith("prompt_cache")]
    assert "measure = true" in line


def test_what_the_deployments_of_azure_want_is_told() -> None:
    table = f'[providers.x]\nbase_url = "{AZURE}/{{model}}"\napi_key = "${{KEY}}"\n'
    version, auth = config.advice(config.loads(table, {"KEY": "k"}))
    assert version.startswith("providers.x.api_version: ") and "404" in version
    assert auth.startswith("providers.x.auth: ") and 'auth = "api-key"' in auth
    whole = table + 'api_version = "2024-10-21"\nauth = "api-key"\n'
    assert config.advice(config.loads(whole, {"KEY": "k"})) == ()


def test_a_key_that_bedrock_does_not_have_is_told_and_one_that_it_has_is_not() -> None:
    table = '[providers.x]\nkind = "bedrock"\nregion = "eu-central-1"\napi_key = "${KEY}"\n'
    (line,) = config.advice(config.loads(table, {"KEY": "sk-of-another"}))
    assert line.startswith("providers.x.api_key: ") and 'auth = "bearer"' in line
    assert config.advice(config.loads(table, {"KEY": "ABSKQmVkcm9ja0FQSUtleS0"})) == ()
    assert config.advice(config.loads(table + 'auth = "bearer"\n', {"KEY": "sk-of-another"})) == ()


def test_settings_of_stored_responses_that_nothing_uses_are_told() -> None:
    text = TWO + "[responses]\nttl_s = 60\n"
    assert [
        line for line in config.advice(config.loads(text, {})) if line.startswith("responses: no endpoint")
    ]
    stored = text + "[endpoints.default]\nstore_responses = true\n"
    assert not [one for one in config.advice(config.loads(stored, {})) if one.startswith("responses: ")]


def test_an_embedder_needs_a_provider_that_embeds() -> None:
    text = TWO + '[cache.semantic.embedder]\nkind = "remote"\nprovider = "a"\nmodel = "e"\ndims = 8\n'
    with pytest.raises(ConfigError, match='"a" has no embeddings; name a provider of kind "openai"'):
        config.loads(text, {})


def test_log_probabilities_that_no_dialect_has_are_told() -> None:
    llm = '[route]\nkind = "llm"\n[route.llm]\ntarget = "a/m"\nlogprobs = true\n'
    cascade = '[endpoints.e.cascade]\nfirst = "cheap"\nthen = "expensive"\n'
    checks = '[[endpoints.e.cascade.checks]]\nkind = "logprobs"\nscore_min = 0.5\n'
    told = config.advice(config.loads(TWO + llm + cascade + checks, {}))
    assert any(line.startswith("route.llm.logprobs: a/m has no") for line in told)
    assert any(line.startswith("endpoints.e.cascade.checks: a/m has no") for line in told)
    assert not any("logprobs" in line for line in config.advice(config.loads(TWO, {})))


def test_chat_completions_to_anthropic_are_advised_against() -> None:
    text = '[providers.anthropic]\nbase_url = "https://api.anthropic.com/v1/"\n'
    (line,) = config.advice(config.loads(text, {}))
    assert 'kind = "anthropic"' in line and "n above 1, logprobs, json_object" in line
    assert config.advice(config.loads('[providers.anthropic]\nkind = "anthropic"\n', {})) == ()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('kind = "anthropic"\ndrop = ["sed"]', 'no field is known as "sed"; did you mean "seed"?'),
        ('kind = "anthropic"\ndrop = ["tempreature"]', 'did you mean "temperature"?'),
        ('kind = "anthropic"\ndrop = ["n"]', "it gets one answer"),
        ('kind = "anthropic"\ndrop = ["input_audio"]', "its answer is another"),
        ('base_url = "https://x.example/v1"\ndrop = ["topk"]', 'did you mean "top_k"?'),
        ('base_url = "https://x.example/v1"\ndrop = ["mcp_servers"]', "its answer is another"),
        (
            'kind = "plugin"\nplugin = "p"\nbase_url = "https://x.example"\ndrop = ["sed"]',
            'did you mean "seed"?',
        ),
        (
            'kind = "plugin"\nplugin = "p"\nbase_url = "https://x.example"\ndrop = ["container"]',
            "its answer is another",
        ),
    ],
)
def test_a_drop_that_does_not_do_what_it_says_is_told(table: str, said: str) -> None:
    (line,) = config.advice(config.loads(f"[providers.x]\n{table}\n", {}))
    assert line.startswith("providers.x.drop: ") and said in line


@pytest.mark.parametrize(
    "table",
    [
        'kind = "anthropic"\ndrop = ["seed", "messages.name"]',
        'kind = "anthropic"\ndrop = []',
        'kind = "anthropic"\ndrop = ["a_field_of_ours"]',
        'base_url = "https://x.example/v1"\ndrop = ["top_k", "tools.bash_20250124"]',
        'kind = "plugin"\nplugin = "p"\nbase_url = "https://x.example"',
    ],
)
def test_what_may_well_be_meant_is_not_advised_against(table: str) -> None:
    assert config.advice(config.loads(f"[providers.x]\n{table}\n", {})) == ()


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
    ],
)
def test_vertex_is_asked_where_its_location_is(location: str, host: str) -> None:
    text = f'[providers.v]\nkind = "vertex"\nproject = "p"\nlocation = "{location}"\n'
    assert config.loads(text, {}).providers["v"].base_url == f"https://{host}/v1beta1"
    of_claude = config.loads(f'{text}publisher = "anthropic"\n', {})
    assert of_claude.providers["v"].base_url == f"https://{host}/v1"
    own = config.loads(f'{text}base_url = "https://own.example/v1"\n', {})
    assert own.providers["v"].base_url == "https://own.example/v1"


def test_the_address_of_googles_endpoint_for_chat_is_not_that_of_its_own_dialect() -> None:
    text = '[providers.g]\nkind = "gemini"\nbase_url = "https://g.example/v1beta/openai"\n'
    (line,) = [one for one in config.advice(config.loads(text, {})) if "base_url" in one]
    assert 'write "https://g.example/v1beta"' in line
    assert config.advice(config.loads('[providers.g]\nkind = "gemini"\n', {})) == ()
