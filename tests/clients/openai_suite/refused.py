"""What passes directly and not through the gateway, and why. Everything else must pass both ways."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tests.clients.openai_suite.suite import Ran

FORMS: Final = ("method", "raw_response", "streaming_response")
"""How a test calls: `test_raw_response_retrieve`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Calls of one file of tests that are refused, whatever form they come in."""

    file: str
    calls: tuple[str, ...]
    """Names of tests without `test_` and the form: `retrieve`, `create_with_all_params_overload_1`."""
    says: str
    """What the refusal says: a test that fails by another is not meant."""
    why: str

    def means(self, ran: Ran) -> bool:
        file, _, name = ran.case.partition("::")
        tests = {f"test_{form}_{call}" for form in FORMS for call in self.calls}
        return file == self.file and name.rpartition("::")[2] in tests


def variants(call: str, *overloads: str) -> tuple[str, ...]:
    """`call` as the tests name it: alone and with all parameters, in each of its overloads."""
    return tuple(
        f"{call}{full}{overload and '_'}{overload}"
        for full in ("", "_with_all_params")
        for overload in overloads or ("",)
    )


BOTH: Final = ("overload_1", "overload_2")
UNKNOWN: Final = (
    "The gateway has only the responses that it stores itself, and the tests ask for one that nobody made."
)
BESIDE: Final = (
    "`conversation` and `background` are refused by name: what a provider does by itself later cannot be "
    "accounted."
)
NOWHERE: Final = "not found"
CHATS: Final = (
    "A stored chat completion is known to the gateway if it was made through it, and the tests ask for one "
    "that nobody made."
)

REFUSED: Final = (
    Refused(
        "test_models.py",
        ("delete",),
        "takes GET, HEAD",
        "It would delete the operator's model for every client, for good.",
    ),
    Refused(
        "test_completions.py",
        tuple(f"create_with_all_params_{overload}" for overload in BOTH),
        "`suffix` is not taken",
        "The prompt goes to a chat model, which fills no gap before a `suffix`.",
    ),
    Refused(
        "test_responses.py",
        tuple(f"create_with_all_params_{overload}" for overload in BOTH),
        "`conversation`",
        BESIDE,
    ),
    Refused("test_responses.py", ("compact_with_all_params",), "Previous response", UNKNOWN),
    Refused("test_responses.py", ("retrieve_overload_1", "delete", "cancel"), "not found", UNKNOWN),
    Refused(
        "test_responses.py",
        ("retrieve_with_all_params_overload_1", *variants("retrieve", "overload_2")),
        "is given as a whole",
        "A stored response is complete: there is no stream of it to take up again.",
    ),
    Refused("responses/test_input_items.py", ("list",), "not found", UNKNOWN),
    Refused(
        "responses/test_input_items.py",
        ("list_with_all_params",),
        "`limit` must be",
        "The tests ask for a page of 0 items; OpenAI documents 1 to 100.",
    ),
    Refused("responses/test_input_tokens.py", ("count_with_all_params",), "`conversation`", BESIDE),
    Refused("chat/test_completions.py", ("retrieve", "update", "delete"), NOWHERE, CHATS),
    Refused(
        "chat/test_completions.py",
        ("list_with_all_params",),
        "`limit` must be",
        "The tests ask for a page of 0 completions; OpenAI documents 1 to 100.",
    ),
    Refused("chat/completions/test_messages.py", variants("list"), NOWHERE, CHATS),
)


def refusal_of(ran: Ran) -> Refused | None:
    """The refusal that `ran` met; None: it failed by something else."""
    return next((each for each in REFUSED if each.means(ran) and each.says in ran.why), None)


def outlived(through: Iterable[Ran]) -> list[str]:
    """Tests that are listed as refused, and pass."""
    passed = [ran for ran in through if ran.passed]
    return [ran.name for ran in passed for each in REFUSED if each.means(ran)]
