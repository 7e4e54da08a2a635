"""What a refusal teaches, and what it does not."""

from typing import Any

import pytest

from farthing.dialects.chat.requests.fitting import NOTHING_LEARNT
from farthing.errors import ProviderRejected
from farthing.models.providers.failures import failure
from farthing.models.providers.learnt import FIELDS_MAX, KEPT_S, TARGETS_MAX, Lessons, Refusal, refusal_of
from farthing.text.lenient_json import write_json

BODY = {
    "model": "m",
    "messages": [],
    "max_tokens": 9,
    "temperature": 0.2,
    "user": "ada",
    "seed": 7,
    "presence_penalty": 1,
    "reasoning_effort": "minimal",
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
            {"message": "tool_choice 'required' is incompatible with thinking enabled"},
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
        ({"message": "tool_choice of that kind is not supported"}, None),
    ],
    ids=lambda value: value["message"][:60] if isinstance(value, dict) else "",
)
def test_a_refusal_teaches_the_one_field_that_it_names(
    error: dict[str, Any], refusal: Refusal | None
) -> None:
    assert refusal_of(rejected(400, **OPENAI | error), BODY) == refusal
    assert refusal_of(rejected(422, **OPENAI | error), BODY) == refusal


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
