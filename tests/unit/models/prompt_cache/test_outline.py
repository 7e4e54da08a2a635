"""A request is recognised by samples, whatever its client wrote in the fields that are looked at."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.asking import asked

from farthing.models.prompt_cache.outline import key_of, outline_of
from farthing.models.prompt_cache.sessions import MemoryPromptCaches
from farthing.types import Target, Usage

Json = dict[str, Any]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "text", "name"]), inner)
    ),
    max_leaves=6,
)
MESSAGE = (
    st.fixed_dictionaries({}, optional={"role": ANY, "content": ANY, "tool_calls": ANY, "name": ANY}) | ANY
)
TOOL = st.fixed_dictionaries({}, optional={"function": ANY, "name": ANY, "description": ANY}) | ANY
BODY = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(MESSAGE, max_size=5) | ANY,
        "tools": st.lists(TOOL, max_size=3) | ANY,
        "functions": ANY,
        "prompt_cache_key": ANY,
    },
)
TARGET = Target(name="a/gpt-5.2", provider="a", model="gpt-5.2")


@given(body=BODY, later=BODY)
@settings(max_examples=300)
def test_no_body_is_too_odd(body: Json, later: Json) -> None:
    caches = MemoryPromptCaches(clock=lambda: 0.0)
    for one in (body, later):
        request = asked(body=one)
        key_of(request, outline_of(request))
        sent = caches.sent(request, TARGET, b'{"messages": [{"content": "%b"}]}' % (b"x" * 3_000))
        assert sent is not None
        sent.told(Usage(input_tokens=5_000), None)
        caches.warm(request, TARGET)
        caches.calls(request)


def test_marks_and_other_shapes_of_the_same_text_are_the_same() -> None:
    def outline(first: Any) -> Any:
        return outline_of(asked(body={"messages": [{"role": "user", "content": first}]}))

    text = [{"type": "text", "text": "Hello"}]
    assert outline("Hello") == outline(text) == outline([{**text[0], "cache_control": {"type": "ephemeral"}}])
    assert outline("Hello") != outline("Hullo")
