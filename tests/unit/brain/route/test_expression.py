"""The language of `when`: what it says, what it refuses, and that it says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asking import asked

from farthing.brain.route import expression
from farthing.brain.route.expression import Expression
from farthing.brain.route.grammar import (
    TYPES,
    Both,
    Compare,
    Contains,
    Either,
    Name,
    Not,
    Tree,
    Value,
    Values,
    parse,
    show,
)
from farthing.config import DEFAULT_RULES
from farthing.errors import ConfigError
from farthing.types import Endpoint, Tenant, Traits

REQUEST = asked(
    "Please REFUND my order",
    tenant=Tenant(name="acme", plan="enterprise"),
    endpoint=Endpoint(name="support"),
    body={"model": "auto", "messages": [], "tools": [{"type": "function"}]},
)
TRAITS = Traits(task="faq", complexity=0.4, risk="low", domain="pricing", language="en", input_tokens=100)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('task == "faq"', True),
        ("task == 'faq'", True),
        ('task != "faq"', False),
        ('task in ["qa", "faq"]', True),
        ('task not in ["qa", "faq"]', False),
        ("input_tokens < 128", True),
        ("input_tokens < 100", False),
        ("input_tokens <= 100", True),
        ("128 > input_tokens", True),
        ("input_tokens in [99, 100]", True),
        ("complexity >= 0.4", True),
        ("complexity > -1", True),
        ("retrieval", False),
        ("not retrieval", True),
        ("not not retrieval", False),
        ("retrieval == false", True),
        ("tools", True),
        ("stream or tools", True),
        ("stream and tools", False),
        ('tenant.plan == "enterprise" and tenant.name == "acme"', True),
        ('endpoint == "support"', True),
        ('operation == "chat"', True),
        ("user_text_chars == 22", True),
        ('contains("refund")', True),
        ('contains(text, "my ORDER")', True),
        ('contains("refunds")', False),
        ("true", True),
        ("false", False),
        ("input_tokens > context_tokens", True),
    ],
)
def test_a_condition_means_what_it_says(text: str, holds: bool) -> None:
    assert Expression(text).holds(REQUEST, TRAITS) is holds


def test_and_binds_tighter_than_or_and_not_tighter_than_and() -> None:
    assert parse("stream or tools and not retrieval") == Either(
        Name("stream"), Both(Name("tools"), Not(Name("retrieval")))
    )
    assert parse("(stream or tools) and retrieval") == Both(
        Either(Name("stream"), Name("tools")), Name("retrieval")
    )


def test_a_quoted_quote_is_part_of_the_string() -> None:
    assert parse(r'model == "a\"b\\c"') == Compare("==", Name("model"), Value('a"b\\c'))


@pytest.mark.parametrize(
    ("text", "says", "column"),
    [
        ("", "empty", 1),
        ("   ", "empty", 1),
        ("tsk == 'faq'", 'did you mean "task"', 1),
        ("input_tokens < 5 and tenant.pan == 'x'", 'did you mean "tenant.plan"', 22),
        ("__import__('os')", "there is no", 1),
        ("task.__class__ == 'x'", "there is no", 1),
        ("task < 3", "string is compared with a number", 6),
        ("task < 'a'", "compares numbers", 6),
        ("task == 3", "string is compared with a number", 6),
        ("task in [1, 2]", "string is compared with a number", 6),
        ("task in 'faq'", "needs a list", 9),
        ("task == ['faq']", "needs a single value", 9),
        ("task in []", "empty list", 9),
        ("task in ['a', 1]", "not both", 15),
        ("task in [retrieval]", "strings or numbers", 10),
        ("['a'] == task", "allowed on the right", 1),
        ("task", "not a condition by itself", 1),
        ("input_tokens and retrieval", "not a condition by itself", 1),
        ("'a' == 'a'", "two constants", 5),
        ("1 < input_tokens < 5", "do not chain", 18),
        ("task = 'faq'", 'write "=="', 6),
        ("stream && tools", 'write "and"', 8),
        ("!stream", 'write "and", "or", "not"', 1),
        ("stream; tools", "not known here", 7),
        ("task == 'faq", "no closing quote", 9),
        ("(stream", '")" is missing', 8),
        ("stream)", "unexpected", 7),
        ("stream tools", "unexpected", 8),
        ("stream and", "is missing", 11),
        ("not", "is missing", 4),
        ("task not 'faq'", '"in" is missing', 10),
        ("input_tokens < 1.2.3", "not a number", 16),
        ("input_tokens < 12ab", "not a number", 16),
        ("contains(refund)", "a quoted phrase", 10),
        ("contains('')", "a quoted phrase", 10),
        ("contains(text 'a')", '"," is missing', 15),
        ("in == 3", "is not allowed here", 1),
        ("lambda: stream", "not known here", 7),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason_and_the_column(
    text: str, says: str, column: int
) -> None:
    with pytest.raises(ConfigError) as refused:
        Expression(text)
    assert says in str(refused.value)
    assert str(refused.value).endswith(f"(column {column})")


def test_length_and_depth_are_bounded() -> None:
    with pytest.raises(ConfigError, match="at most"):
        Expression("stream or " * 1_000 + "stream")
    with pytest.raises(ConfigError, match="nested deeper"):
        Expression("(" * 100 + "stream" + ")" * 100)
    with pytest.raises(ConfigError, match="nested deeper"):
        Expression("not " * 100 + "stream")


def test_the_longest_chain_that_is_read_can_be_evaluated() -> None:
    assert Expression("tools and " * 400 + "tools").holds(REQUEST, TRAITS) is True


@pytest.mark.parametrize("name", TYPES)
def test_every_name_is_read_as_the_type_it_is_said_to_have(name: str) -> None:
    literal = {"string": '"x"', "number": "1", "boolean": "true"}[TYPES[name]]
    assert Expression(f"{name} == {literal} or {name} != {literal}").holds(REQUEST, TRAITS) is True
    if TYPES[name] == "number":
        assert Expression(f"{name} >= -1").holds(REQUEST, TRAITS) is True
    if TYPES[name] == "boolean":
        assert Expression(name).holds(REQUEST, TRAITS) in (True, False)


def test_the_default_rules_can_be_read() -> None:
    for rule in DEFAULT_RULES:
        assert Expression(rule.when).text == rule.when


def test_contains_looks_at_a_bounded_part_of_the_text() -> None:
    long = "x" * expression.TEXT_CHARS_MAX + "refund"
    assert not Expression('contains("refund")').holds(asked(long), TRAITS)


_BY_TYPE = {
    wanted: st.sampled_from(sorted(name for name, kind in TYPES.items() if kind == wanted)).map(Name)
    for wanted in ("string", "number", "boolean")
}
_STRINGS = st.text(max_size=20)
_NUMBERS = st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9, allow_nan=False)
_LEAVES: st.SearchStrategy[Tree] = st.one_of(
    _BY_TYPE["boolean"],
    st.booleans().map(Value),
    st.builds(Compare, st.sampled_from(["==", "!="]), _BY_TYPE["string"], _STRINGS.map(Value)),
    st.builds(
        Compare,
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        _BY_TYPE["number"],
        _NUMBERS.map(Value) | _BY_TYPE["number"],
    ),
    st.builds(
        Compare,
        st.sampled_from(["in", "not in"]),
        _BY_TYPE["string"],
        st.lists(_STRINGS, min_size=1, max_size=4).map(tuple).map(Values),
    ),
    st.builds(
        Compare,
        st.sampled_from(["in", "not in"]),
        _BY_TYPE["number"],
        st.lists(_NUMBERS, min_size=1, max_size=4).map(tuple).map(Values),
    ),
    st.text(min_size=1, max_size=20).map(Contains),
)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.builds(Not, inner) | st.builds(Both, inner, inner) | st.builds(Either, inner, inner),
    max_leaves=8,
)


@given(_TREES)
def test_every_condition_written_out_reads_back_as_itself(tree: Tree) -> None:
    assert parse(show(tree)) == tree


@given(_TREES)
def test_evaluating_a_condition_that_was_accepted_never_fails(tree: Tree) -> None:
    assert Expression(show(tree)).holds(REQUEST, TRAITS) in (True, False)


@given(st.text(max_size=200))
def test_any_text_is_either_read_or_refused_as_a_configuration_error(text: str) -> None:
    try:
        Expression(text)
    except ConfigError as refused:
        assert str(refused)
