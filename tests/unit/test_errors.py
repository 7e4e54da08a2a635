"""What the client and the receipt are told where no target has a word for a request."""

import pytest

from farthing.edge.openai import error_body
from farthing.errors import (
    CannotSay,
    KeyRejected,
    NoProviderLeft,
    OutsideResidency,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    named,
)
from farthing.pipeline.receipt_notes import note_error
from farthing.runtime.redact import without_asked
from farthing.types import Receipt


def test_several_names_are_told_in_one_sentence_with_the_line_to_change() -> None:
    (told,) = NoProviderLeft([CannotSay("anthropic/m", ["audio", "modalities"])]).failures
    assert str(told) == (
        "anthropic/m cannot be asked for `audio` and `modalities`: leave them out, name a model of another "
        "provider, or let the gateway leave them out (providers.anthropic.drop)"
    )


def test_a_reason_takes_the_place_of_the_common_advice() -> None:
    told = str(CannotSay("a/m", ["tool_choice", "n"], {"tool_choice": "m takes none; send auto"}))
    assert told.startswith(
        "a/m cannot be asked for `tool_choice`: m takes none; send auto; nor for `n`: leave it"
    )


def test_nobody_is_advised_to_have_left_out_what_an_answer_hangs_on() -> None:
    told = str(CannotSay("a/m", ["x", "container"], essential={"container"}))
    assert told == (
        "a/m cannot be asked for `x` and `container`: leave them out, or name a model of another provider"
    )


def test_of_very_many_names_twenty_are_told_and_the_others_counted() -> None:
    names = [f"n{number}" for number in range(10_000)]
    assert named(names[:20]) == ", ".join(names[:20])
    assert named(names[:21]) == ", ".join(names[:20]) + " and 1 more"
    assert named(names) == ", ".join(names[:20]) + " and 9980 more"
    told = str(CannotSay("a/m", names))
    assert "`n19` and 9980 more: leave them out" in told and "`n20`" not in told
    assert "more" not in str(CannotSay("a/m", names[:20]))


def test_a_name_is_a_client_s_word_and_told_up_to_a_hundred_characters() -> None:
    assert named(["x" * 5_000] * 2) == f"{'x' * 100}, {'x' * 100}"
    assert f"`{'x' * 100}`" in str(CannotSay("a/m", ["x" * 5_000]))


def test_an_operation_is_no_field_that_could_be_left_out() -> None:
    error = NoProviderLeft([CannotSay("a/m", (), operation="embeddings")])
    body = error_body(error)
    assert b"a/m has no embeddings: configure a provider that has, and name its model" in body
    assert b'"param":"model"' in body and b"leave it out" not in body
    assert b"`operations`" not in body and b"only those of the kinds `openai` and `gemini` can" in body


def test_an_operation_that_a_provider_may_have_says_where_to_list_it() -> None:
    told = str(CannotSay("a/m", (), operation="audio/speech"))
    assert told.startswith("a/m has no audio/speech: configure a provider that has")
    assert "only those of the kind `openai` can" in told and told.endswith("list it in its `operations`")


def test_what_is_the_same_of_several_targets_is_said_once() -> None:
    told = NoProviderLeft([CannotSay("a/m", ["n"]), CannotSay("a/o", ["n"])]).in_full
    assert told.startswith("a/m and a/o cannot be asked for `n`: ") and told.count("leave it out") == 2


def test_every_target_that_has_no_word_is_named_once_and_the_codes_agree() -> None:
    error = NoProviderLeft([CannotSay("a/m", ["n"]), CannotSay("b/m", ["seed"])])
    receipt = Receipt(request_id="r", at_unix_s=0.0, started_s=0.0)
    note_error(receipt, error)
    assert (receipt.status, receipt.error) == (400, "cannot_say")
    body = error_body(error)
    assert b'"code":"cannot_say"' in body and b"`n`" in body and b"b/m cannot be asked for `seed`" in body
    assert receipt.error_message.count("a/m") == receipt.error_message.count("b/m") == 1
    assert error.in_full.count("cannot be asked") == 2


@pytest.mark.parametrize("last", [ProviderUnavailable("gone"), ProviderRejected("no", upstream_status=400)])
def test_where_a_target_was_asked_its_failure_counts(last: Exception) -> None:
    error = NoProviderLeft([CannotSay("a/m", ["n"]), last])  # type: ignore[list-item]
    assert error.code == "no_provider_left" and "cannot_say: a/m cannot be asked for `n`" in error.in_full


def test_names_of_fields_stay_where_the_prompt_has_the_same_words() -> None:
    asked = {
        "messages": [{"role": "user", "content": "penalty"}, {"role": "user", "content": "the seed is Zorro"}]
    }
    known = frozenset({"frequency_penalty", "seed"})
    said = "no `frequency_penalty` and no `seed` of `Zorro` penalty"
    assert without_asked(said, asked, known) == "no `frequency_penalty` and no `seed` of `[prompt]` [prompt]"
    assert "frequency_[prompt]" in str(without_asked(said, asked)), "what it was without the names"


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ProviderBusy("a answered 429", upstream_status=429, retry_after_s=60.0), 429),
        (KeyRejected("a refused the key", upstream_status=401), 502),
        (ProviderTimeout("late"), 504),
    ],
)
def test_who_was_not_asked_does_not_hide_what_befell_who_was(failure: ProviderError, status: int) -> None:
    failure.target = "a/x"
    for failures in ([failure, CannotSay("b/y", ["n"])], [CannotSay("b/y", ["n"]), failure]):
        error = NoProviderLeft(failures)
        assert (error.status, error.code) == (status, "no_provider_left")
    alone = ProviderUnavailable("a answered 500", upstream_status=500)
    alone.target = "a/x"
    assert NoProviderLeft([CannotSay("b/y", ["n"]), alone]).status == 500
    assert NoProviderLeft([CannotSay("b/y", ["n"])]).code == "cannot_say"


def test_a_refusal_for_residency_bears_one_code_for_the_client_and_in_the_receipt() -> None:
    error = NoProviderLeft([OutsideResidency("us/m", "us-east-1", "patients", ["eu"])])
    assert error.code == "residency" and error.status == 403
    assert b'"code":"residency"' in error_body(error)


def test_what_several_attempts_say_alike_is_said_once() -> None:
    down, other = (
        ProviderUnavailable(f"a answered {status}", upstream_status=status) for status in (500, 503)
    )
    told = str(NoProviderLeft([down, down, other]))
    assert told == "provider_unavailable: a answered 500; provider_unavailable: a answered 503"
    assert NoProviderLeft([down, down]).worded(str) == "provider_unavailable: a answered 500"
