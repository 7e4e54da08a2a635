"""What a refusal teaches, and what it does not."""

from pathlib import Path
from typing import Any

import pytest

from farthing.config import ResponsesProviderConfig
from farthing.dialects.chat.requests.fitting import NOTHING_LEARNT, Learnt, Quirks, fitted, name_limit
from farthing.errors import ProviderRejected
from farthing.models.providers.failures import failure
from farthing.models.providers.learnt import FIELDS_MAX, KEPT_S, TARGETS_MAX, Lessons, Refusal, refusal_of
from farthing.models.providers.lessons import FILE, AllLessons
from farthing.models.providers.responses.provider import ResponsesProvider
from farthing.models.transport.origin import HttpOrigin
from farthing.text.lenient_json import any_json, write_json
from farthing.types import Prompt, Sent, Target

BODY = {
    "model": "m",
    "messages": [],
    "max_tokens": 9,
    "temperature": 0.2,
    "user": "ada",
    "seed": 7,
    "presence_penalty": 1,
    "tool_choice": "required",
    "tools": [],
}


def rejected(status: int, **error: Any) -> ProviderRejected:
    found = failure("p", status, {}, write_json({"error": error}))
    assert isinstance(found, ProviderRejected)
    return found


OPENAI = {"type": "invalid_request_error"}


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (
            {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                "param": "max_tokens",
                "code": "unsupported_parameter",
            },
            Refusal("max_tokens", "max_completion_tokens"),
        ),
        (
            {
                "message": "Unsupported value: 'temperature' does not support 0.2 with this model. Only the "
                "default (1) value is supported.",
                "param": "temperature",
                "code": "unsupported_value",
            },
            Refusal("temperature"),
        ),
        (
            {
                "message": "Unsupported value: 'reasoning_effort' does not support 'minimal' with this "
                "model. "
                "Supported values are: 'low', 'medium', and 'high'.",
                "param": "reasoning_effort",
                "code": "unsupported_value",
            },
            Refusal("reasoning_effort", value="minimal"),
        ),
        (
            {"message": "Unknown parameter: 'seed'.", "param": "seed", "code": "unknown_parameter"},
            Refusal("seed"),
        ),
        ({"message": "Unrecognized request argument supplied: user"}, Refusal("user")),
        ({"message": "property 'user' is unsupported, did you mean 'users'?"}, Refusal("user")),
        (
            {"message": "Model grok-4 does not support parameter presencePenalty."},
            Refusal("presence_penalty"),
        ),
        ({"message": "Extra inputs are not permitted, field: 'seed'"}, Refusal("seed")),
        (
            {"message": "tool_choice 'required' is not supported"},
            Refusal("tool_choice", value="required"),
        ),
        # what is the client's matter, and what may be any of several
        ({"message": "temperature must be between 0 and 2", "param": "temperature"}, None),
        (
            {"message": "max_tokens is too large: 9. This model supports at most 4", "param": "max_tokens"},
            None,
        ),
        ({"message": "The model `m` does not exist", "code": "model_not_found"}, None),
        ({"message": "seed and user are not supported together"}, None),
        ({"message": "body.messages.0.user.name: Extra inputs are not permitted"}, None),
        ({"message": "tools is not supported with this model", "param": "tools"}, None),
        ({"message": "top_k is not supported"}, None),
        ({"message": "tool_choice 'required' is incompatible with thinking enabled"}, None),
        ({"message": "seed is not supported when stream is true"}, None),
        ({"message": "tool_choice of that kind is not supported"}, None),
    ],
    ids=lambda value: value["message"][:60] if isinstance(value, dict) else "",
)
def test_a_refusal_teaches_the_one_field_that_it_names(
    error: dict[str, Any], refusal: Refusal | None
) -> None:
    body = {**BODY, "reasoning_effort": "minimal"} if "reasoning_effort" in str(error) else BODY
    assert refusal_of(rejected(400, **OPENAI | error), body) == refusal
    assert refusal_of(rejected(422, **OPENAI | error), body) == refusal


def test_what_some_models_take_while_they_do_not_reason_is_not_learnt_from_a_request_that_reasons() -> None:
    error = rejected(400, **OPENAI, message="Unsupported parameter: 'temperature' is not supported")
    assert refusal_of(error, BODY) == Refusal("temperature")
    assert refusal_of(error, {**BODY, "reasoning_effort": "minimal"}) is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"tool_choice": {"type": "function", "function": {"name": "temperature"}}},
            "tool 'temperature' is not supported",
        ),
        ({"temperature odd": 1}, "unknown field 'temperature odd'"),
        ({"user": "temperature is not supported"}, "no such user: temperature is not supported"),
        (
            {"messages": [{"role": "user", "content": "x" * 70_000 + "temperature is not supported"}]},
            "temperature is not supported",
        ),
    ],
)
def test_a_client_cannot_teach_by_what_a_refusal_repeats_of_it(asked: dict[str, Any], said: str) -> None:
    assert refusal_of(rejected(400, **OPENAI, message=said), {**BODY, **asked}) is None


def test_a_long_request_teaches_by_what_is_said_beside_the_words() -> None:
    long = {**BODY, "messages": [{"role": "user", "content": "x" * 70_000}]}
    error = rejected(
        400, **OPENAI, message="Unknown parameter: 'seed'.", param="seed", code="unknown_parameter"
    )
    assert refusal_of(error, long) == Refusal("seed")


@pytest.mark.parametrize("status", [401, 402, 403, 404, 413, 429, 500])
def test_another_status_teaches_nothing(status: int) -> None:
    found = failure(
        "p", status, {}, write_json({"error": {"message": "Unknown parameter: 'seed'.", **OPENAI}})
    )
    assert not isinstance(found, ProviderRejected) or refusal_of(found, BODY) is None


def test_what_was_learnt_is_bounded_and_forgotten_after_a_day() -> None:
    now_s = 0.0
    lessons = Lessons(lambda: now_s)
    for number in range(TARGETS_MAX + 5):
        lessons.note(f"m{number}", Refusal("seed"))
    assert lessons.of("m0") is NOTHING_LEARNT and lessons.of(f"m{TARGETS_MAX}").refused == {"seed"}
    for number in range(2 * FIELDS_MAX):
        lessons.note("m", Refusal(f"field_{number}"))
    assert len(lessons.of("m").refused) == FIELDS_MAX
    now_s = KEPT_S + 1
    assert lessons.of("m") is NOTHING_LEARNT


def kept(folder: Path, now_s: float) -> AllLessons:
    found = AllLessons(folder, lambda: now_s)
    found.open()
    return found


def test_what_was_learnt_outlives_a_restart_for_what_is_left_of_its_day(tmp_path: Path) -> None:
    before = kept(tmp_path, 1_000.0)
    lessons = before.of("p", "http://p.test/v1")
    lessons.note("m", Refusal("seed"))
    lessons.note("m", Refusal("max_tokens", "max_completion_tokens"))
    lessons.note("m", Refusal("verbosity", value="high"))
    lessons.note("m", Refusal("user", value="ada@example.org"))
    assert before.changed
    before.save()
    assert "ada" not in (tmp_path / FILE).read_text(), "what a client says stays in memory"
    after = kept(tmp_path, 1_000.0 + KEPT_S - 5)
    found = after.of("p", "http://p.test/v1")
    learnt = Learnt("max_completion_tokens", frozenset({"seed"}), frozenset({("verbosity", "high")}))
    assert found.known and found.of("m") == learnt and not after.changed
    assert after.of("p", "http://other.test/v1").of("m") is NOTHING_LEARNT
    assert kept(tmp_path, 1_000.0 + KEPT_S).of("p", "http://p.test/v1").of("m") is NOTHING_LEARNT
    clock_back = kept(tmp_path, -9e6).of("p", "http://p.test/v1")
    clock_back._clock = lambda: -9e6 + KEPT_S
    assert clock_back.of("m") is NOTHING_LEARNT, "never for longer than a day"


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'{"version": 2, "providers": {}}', b'{"providers": {"x": {"m": {"learnt": 5}}}}']
)
def test_a_file_that_is_damaged_is_put_aside_and_all_is_learnt_anew(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    assert kept(tmp_path, 0.0).of("p", "u").of("m") is NOTHING_LEARNT
    assert [one.suffix for one in tmp_path.iterdir()] == [".damaged"]


def test_no_file_can_say_that_a_target_takes_no_messages(tmp_path: Path) -> None:
    before = kept(tmp_path, 0.0)
    before.of("p", "u").note("m", Refusal("messages"))
    before.save()
    assert kept(tmp_path, 0.0).of("p", "u").of("m") is NOTHING_LEARNT


@pytest.mark.parametrize(
    ("body", "name", "left"),
    [
        ({"max_tokens": 9}, "max_completion_tokens", {"max_completion_tokens": 9}),
        ({"max_completion_tokens": 9}, "max_tokens", {"max_tokens": 9}),
        ({"max_tokens": 9, "max_completion_tokens": 5}, "max_tokens", {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 9}, "max_tokens", {"max_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": None}, "max_tokens", {"max_tokens": 5}),
        ({"max_tokens": 5}, None, {"max_tokens": 5}),
        ({}, "max_tokens", {}),
    ],
)
def test_of_two_limits_the_lower_one_holds(body: dict[str, Any], name: Any, left: dict[str, Any]) -> None:
    name_limit(body, name)
    assert body == left


def test_a_request_is_not_changed_by_being_made_to_fit() -> None:
    message = {"role": "developer", "name": "a", "content": "x"}
    body = {"messages": [message], "seed": 7, "max_tokens": 9, "n": 2}
    host = Quirks(renamed={"seed": "random_seed"}, developer=False, names=False, refused=frozenset({"n"}))
    written = fitted(body, "m", host, Learnt(limit="max_completion_tokens"))
    assert body == {"messages": [message], "seed": 7, "max_tokens": 9, "n": 2}
    assert message == {"role": "developer", "name": "a", "content": "x"}
    assert written.body == {
        "messages": [{"role": "system", "content": "x"}],
        "random_seed": 7,
        "max_completion_tokens": 9,
    }
    assert written.unsaid == ("n",) and written.yielded == ("messages.name",)


@pytest.mark.parametrize(
    "body", [{"messages": "odd"}, {"messages": [1, None, {"tool_calls": "x", "name": 1}]}]
)
def test_shapes_that_no_client_means_are_passed_on(body: dict[str, Any]) -> None:
    host = Quirks(developer=False, names=False, short_call_ids=True)
    fitted({**body, "tool_choice": 1, "response_format": [], "logit_bias": []}, "m", host)


# -- requests that are translated to Responses ---------------------------------------------------------------


def responses() -> ResponsesProvider:
    config = ResponsesProviderConfig(base_url="https://api.example/v1")
    return ResponsesProvider("r", HttpOrigin("r", "api.example", 443, True), config, path="/v1")


REFUSED = {
    "message": "Unsupported parameter: 'temperature' is not supported with this model.",
    "param": "temperature",
    "code": "unsupported_parameter",
}
CHAT = {"model": "r/m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.2}
OF_R = Target(name="r/m", provider="r", model="m")


def prompt_of(sent: Sent | None = None) -> Prompt:
    return Prompt(
        body=CHAT, input_tokens=1, input_tokens_bound=None, output_tokens_max=None, stream=False, sent=sent
    )


def test_a_chat_that_is_translated_to_responses_is_made_to_fit() -> None:
    provider, prompt = responses(), prompt_of()
    before = any_json(provider.encode(prompt, OF_R, "chat", "req_1")[1])
    assert isinstance(before, dict) and before["temperature"] == 0.2
    assert provider.learn(prompt, OF_R, rejected(400, **OPENAI | REFUSED))
    unsaid = provider.unsaid(prompt, OF_R, "chat")
    after = any_json(provider.encode(prompt, OF_R, "chat", "req_2")[1])
    assert unsaid.names == ("temperature",)
    assert after == {name: value for name, value in before.items() if name != "temperature"}


def test_what_a_client_of_responses_sent_itself_teaches_nothing() -> None:
    provider = responses()
    raw = b'{"model": "m", "input": "Hi", "temperature": 0.2}'
    read = any_json(raw)
    assert isinstance(read, dict)
    sent = Sent(dialect="responses", raw=raw, body=read, read=CHAT)
    assert not provider.learn(prompt_of(sent), OF_R, rejected(400, **OPENAI | REFUSED))
    assert provider.unsaid(prompt_of(), OF_R, "chat").names == ()
