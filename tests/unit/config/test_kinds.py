"""Tables of several kinds: each has its own keys, and what is of another kind is refused by name."""

import pytest

from farthing import config
from farthing.config import Config, LearnedRouteConfig, RulesRouteConfig
from farthing.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[route]\nkind = "leaned"\n',
            'farthing.toml:2: route.kind: expected one of "rules", "learned", "llm", "plugin"; got the text '
            '"leaned"; did you mean "learned"?',
        ),
        ('[route]\nkind = "llm"\n', 'farthing.toml:1: route: the key "llm" is missing; write [route.llm]'),
        ('[route]\nkind = "learned"\n', 'farthing.toml:1: route: the key "model" is missing'),
        (
            '[cache.store]\nkind = "memory"\npath = "x"\n',
            'farthing.toml:3: cache.store.path: is a key of kind = "sqlite", this is kind = "memory"; '
            "remove it",
        ),
        (
            '[cache.semantic.embedder]\nkind = "onnx"\nmodel = "x"\n',
            'farthing.toml:3: cache.semantic.embedder.model: is a key of kind = "remote", this is '
            'kind = "onnx"; remove it',
        ),
        (
            '[cache.semantic.embedder]\nkind = "openai"\n',
            'farthing.toml:2: cache.semantic.embedder.kind: expected one of "onnx", "remote"; got the text '
            '"openai"',
        ),
        (
            '[[endpoints.faq.quality.checks]]\nkind = "regex"\npattern = "x"\nfile = "y"\n',
            'farthing.toml:4: endpoints.faq.quality.checks[0].file: is a key of kind = "schema" and of '
            'kind = "exact", this is kind = "regex"; remove it',
        ),
        (
            '[route]\nplugin = "toy"\n',
            'farthing.toml:2: route.plugin: is a key of kind = "plugin", this is kind = "rules"; write '
            'kind = "plugin"',
        ),
        (
            '[brain]\nclassifier = "linea"\n',
            'farthing.toml:2: brain.classifier: expected one of "rules", "linear"; got the text "linea"; did '
            'you mean "linear"?',
        ),
    ],
)
def test_an_unknown_kind_and_a_key_of_another_one_are_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as why:
        config.loads(text, {})
    assert str(why.value).split("\n")[0] == said


def test_a_route_without_a_kind_is_one_of_rules() -> None:
    assert config.loads("[route]\n", {}) == config.loads('[route]\nkind = "rules"\n', {}) == Config()
    assert isinstance(config.loads("", {"FARTHING__ROUTE": "{ rules = [] }"}).route, RulesRouteConfig)


def test_what_was_read_is_written_with_its_kind_and_reads_again() -> None:
    read = config.loads('[route]\nkind = "learned"\nmodel = "m"\nthreshold = 0.9\n', {})
    assert isinstance(read.route, LearnedRouteConfig) and read.route.threshold == 0.9
    for text in (config.render(read), config.written(read)):
        assert config.loads(text, {}) == read


def test_editors_take_a_route_without_a_kind() -> None:
    kinds = config.schema()["$defs"]
    assert "kind" not in kinds["RulesRouteConfig"].get("required", [])
    assert "kind" in kinds["LearnedRouteConfig"]["required"]
