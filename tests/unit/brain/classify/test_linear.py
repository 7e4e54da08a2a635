# ruff: noqa: RUF001  (prompts in many languages)
"""What the linear classifier tells, where it says `unknown`, and that nothing makes it slow or raise."""

import json
import math
import struct
from array import array
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.asking import asked
from tests.pace import turns

from farthing.brain.classify.linear import LANES, WEIGHTS, LinearClassifier, pack
from farthing.brain.classify.rules import RulesClassifier
from farthing.brain.classify.signs import WORDS_MAX, see
from farthing.config import Config
from farthing.errors import ConfigError
from farthing.types import DEFAULT_ENDPOINT, Endpoint, Traits
from farthing.wiring.build import build_classifier

CLASSIFIER = LinearClassifier()

PROMPTS = [
    ("summarise", "Summarise the following report in three sentences: The bridge was closed in May."),
    ("summarise", "Fasse den folgenden Text in zwei Sätzen zusammen: Der Rat tagte am Dienstag."),
    ("summarise", "请用三句话总结下面的文章：市议会周二开会讨论新桥。"),
    ("classify", "Classify this ticket as billing, technical or other: 'My screen stays black.'"),
    ("classify", "À quelle catégorie appartient ce message : facture ou technique ? L'écran reste noir."),
    ("sentiment", "Is this review positive or negative? 'The waiter was rude.'"),
    ("sentiment", "¿Esta reseña es positiva o negativa? «El camarero fue grosero.»"),
    ("tag", "Suggest five tags for this blog post about hiking in the Alps."),
    ("tag", "Предложи пять ключевых слов для статьи о пчёлах."),
    ("extract", "Extract all names and dates from the text below as JSON. Anna came on 3 May."),
    ("extract", "Estrai tutti i nomi e le date dal testo: Anna è arrivata il 3 maggio."),
    ("translate", "Translate this sentence into French: I would like a cup of tea."),
    ("translate", "これを英語に翻訳してください。今日は忙しいです。"),
    ("translate", "ترجم الجملة التالية إلى الإنجليزية: أنا مشغول اليوم."),
    ("rewrite", "Rewrite this paragraph in a more formal tone: hey guys, we messed up."),
    ("rewrite", "Popraw ortografię i gramatykę w tym tekście: poszłem do sklep."),
    ("code", "Write a Python function that returns the n-th Fibonacci number."),
    ("code", "Yazım hatası olan bu kodda hatayı bul: def f(x): retrun x"),
    ("reason", "Tom has 48 apples and gives half of them away. How many apples are left?"),
    ("reason", "समीकरण 3x + 4 = 19 हल करो।"),
    ("creative", "Write a short poem about autumn leaves."),
    ("creative", "가을에 대한 시를 써 줘."),
    ("qa", "What is the capital of Australia?"),
    ("qa", "Hoe werkt een warmtepomp?"),
    ("qa", "Які побічні ефекти вакцини?"),
    ("faq", "How do I reset my password?"),
    ("faq", "Como cancelo minha assinatura?"),
    ("chat", "Hello there, how are you?"),
    ("chat", "Hej, hur mår du?"),
    ("agent_step", "Set an alarm for 6 am and turn off the lights in the kitchen."),
]
TOOLS = [{"type": "function", "function": {"name": "search_events", "parameters": {}}}]


def traits_of(text: str, **changes: Any) -> Traits:
    return CLASSIFIER.describe(asked(text, **changes))


@pytest.mark.parametrize(("task", "text"), PROMPTS)
def test_plain_requests_for_each_task_are_known_in_many_languages(task: str, text: str) -> None:
    assert traits_of(text).task == task


@pytest.mark.parametrize("text", ["", " ", "???", "qwx zzt plk", "\x00\x01", "🦔🦔🦔", "ᚠᚢᚦ ᚠᚢ"])
def test_what_says_nothing_is_unknown_and_then_counts_as_hard(text: str) -> None:
    traits = traits_of(text)
    assert traits.task == "unknown"
    assert traits.complexity >= 0.6


def test_what_the_client_says_wins_over_the_weights() -> None:
    assert traits_of("Write a poem about autumn.", task_type="sentiment").task == "sentiment"


def test_what_the_operator_says_of_an_endpoint_wins_over_the_weights() -> None:
    endpoint = Endpoint(name="e", task="invoice check")
    assert traits_of("Write a poem about autumn.", endpoint=endpoint).task == "invoice check"
    assert DEFAULT_ENDPOINT.task is None


def test_a_system_prompt_says_what_is_to_be_done_with_the_text() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "You are a translator. Translate everything into Italian."},
            {"role": "user", "content": "The council met on Tuesday to discuss the new bridge."},
        ]
    }
    assert traits_of("The council met on Tuesday to discuss the new bridge.", body=body).task == "translate"


def test_the_system_prompt_adds_its_risk_where_the_user_names_none() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "You are a clerk and answer about contracts and liability."},
            {"role": "user", "content": "What do you think of the second page?"},
        ]
    }
    traits = traits_of("What do you think of the second page?", body=body)
    assert (traits.domain, traits.risk) == ("legal", "legal")


def test_a_request_after_a_tool_has_answered_is_a_step_of_an_agent() -> None:
    messages = [{"role": "user", "content": "Translate it."}, {"role": "tool", "content": "ok"}]
    body = {"messages": messages}
    assert traits_of("Translate it.", body=body).task == "agent_step"


def test_tools_speak_for_a_step_of_an_agent_unless_they_may_not_be_called() -> None:
    text = "Could you look for a concert in Lisbon this weekend?"
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text}], "tools": TOOLS}
    assert traits_of(text, body=body).task == "agent_step"
    with_tools = CLASSIFIER.shares(see(asked(text), Traits()), tools=True)
    without = CLASSIFIER.shares(see(asked(text), Traits()))
    at = CLASSIFIER.tasks.index("agent_step")
    assert with_tools[at] > without[at]
    unable = traits_of(text, body={**body, "tool_choice": "none"})
    assert unable == CLASSIFIER.describe(asked(text))


def test_harder_tasks_are_more_complex() -> None:
    easy, hard = traits_of("Is this review positive or negative? 'Nice!'"), traits_of(PROMPTS[18][1])
    assert easy.complexity < hard.complexity


@given(text=st.text(max_size=2_000))
@settings(deadline=None)
def test_shares_add_up_to_one_for_any_text(text: str) -> None:
    request = asked(text)
    shares = CLASSIFIER.shares(see(request, RulesClassifier().describe(request)))
    assert len(shares) == len(CLASSIFIER.tasks)
    assert math.isclose(sum(shares), 1.0)
    assert min(shares) >= 0.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(
    text=st.text(max_size=60),
    first=JSON
    | st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "tool"]), "content": JSON}),
    last=JSON | st.fixed_dictionaries({"role": st.sampled_from(["user", "function"]), "content": JSON}),
    tools=JSON,
)
@settings(deadline=None)
def test_no_body_makes_it_raise(text: str, first: Any, last: Any, tools: Any) -> None:
    body = {"messages": [first, last], "tools": tools, "response_format": tools}
    assert traits_of(text, body=body).task


@pytest.mark.parametrize("unit", ["word ", "слово ", "字", "a", "\n", "۝ "])
def test_a_huge_prompt_costs_no_more_than_its_edges(unit: str) -> None:
    huge = unit * 2_000_000
    messages = [{"role": "system", "content": huge}, {"role": "user", "content": huge}]
    request = asked(huge, body={"messages": messages})
    assert turns(lambda: CLASSIFIER.describe(request)) < 1_000_000


@given(text=st.text(max_size=3_000))
@settings(deadline=None)
def test_no_group_has_more_features_than_can_be_added_up(text: str) -> None:
    body = {"messages": [{"role": "system", "content": text}, {"role": "user", "content": text}]}
    seen = see(asked(text, body=body), Traits())
    assert max(map(len, seen)) <= WORDS_MAX


def test_the_lanes_of_integers_compute_what_the_weights_say() -> None:
    head, _, body = WEIGHTS.read_bytes().partition(b"\n")
    meta = json.loads(head)
    count = meta["rows"]
    keys = struct.unpack(f"<{count}I", body[: 4 * count])
    at = {key: n for n, key in enumerate(keys)}
    weights = body[4 * count :]
    request = asked(PROMPTS[0][1])
    seen = see(request, RulesClassifier().describe(request))
    scores = [0.0] * len(meta["tasks"])
    for group, gain in zip(seen, [1.0, *meta["gains"]], strict=True):
        for key in set(group):
            if key in at:
                row = weights[at[key] * LANES : (at[key] + 1) * LANES]
                size = 1.0 if group is seen.signs else math.sqrt(len(group))
                factor = gain * meta["scale"] / size
                scores = [s + (w - 128) * factor for s, w in zip(scores, row, strict=False)]
    raised = [math.exp(score - max(scores)) for score in scores]
    assert CLASSIFIER.shares(seen) == pytest.approx([share / sum(raised) for share in raised], rel=1e-6)


def model_file(path: Path, change: dict[str, Any]) -> Path:
    head: dict[str, Any] = {"tasks": ["qa", "agent_step"], "scale": 1.0, "gains": [1, 1, 1], "for_tools": 1.0}
    head["unknown_below"] = 0.5
    kept = {key: value for key, value in {**head, **change}.items() if value is not None}
    path.write_bytes(pack(kept, array("I", [1]), bytes([128] * LANES)))
    return path


def test_a_whole_file_of_weights_is_taken(tmp_path: Path) -> None:
    assert LinearClassifier(weights=model_file(tmp_path / "w", {})).tasks == ("qa", "agent_step")


@pytest.mark.parametrize("missing", ["tasks", "scale", "gains", "for_tools", "unknown_below"])
def test_weights_that_lack_a_part_are_refused(tmp_path: Path, missing: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        LinearClassifier(weights=model_file(tmp_path / "w", {missing: None}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"not json\n" + data,
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
        lambda data: data.replace(b"task-linear/1", b"task-linear/9"),
        lambda data: b"[]\n" + data.partition(b"\n")[2],
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(damage(WEIGHTS.read_bytes()))
    with pytest.raises(ConfigError, match=r"weights\.bin"):
        LinearClassifier(weights=path)


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.bin"):
        LinearClassifier(weights=tmp_path / "none.bin")


def test_the_weights_are_small_enough_for_the_package() -> None:
    assert WEIGHTS.stat().st_size <= 2_000_000


@pytest.mark.parametrize(("name", "kind"), [("rules", RulesClassifier), ("linear", LinearClassifier)])
def test_the_configuration_chooses_the_classifier(name: str, kind: type) -> None:
    config = msgspec.convert({"brain": {"classifier": name}}, Config)
    assert isinstance(build_classifier(config), kind)


def test_the_rules_are_the_default() -> None:
    assert isinstance(build_classifier(Config()), RulesClassifier)
