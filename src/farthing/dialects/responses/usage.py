"""What a response says it counted, in our terms.

`input_tokens` holds what went by the prefix cache, reads and writes, and `output_tokens` the reasoning. What
tools of the provider cost beside the tokens is told in `tool_usage`, or shows in the items of the output.
Takes any JSON and never raises: a count that cannot be read counts nothing.

Source: the types of OpenAI's SDK (`ResponseUsage`, `ToolUsage`), its price list for tools.
"""

from typing import Any

from farthing.dialects.chat.usage import UsageForm
from farthing.dialects.chat.usage import read_usage as read_chat_usage
from farthing.text.lenient_json import write_json
from farthing.types import Json, Usage, replace

COUNT_MAX = 1_000_000  # of uses of a tool in one answer; more is no count
FORM = UsageForm(reasoning="inside", write_life="30m", tiers={"fast": "priority"})
PRICED_ITEMS = {"file_search_call": "file_search", "image_generation_call": "image_generation"}
"""Items that are charged by the use, and what the fee is called."""


def read_usage(response: Json, output: Any = None, form: UsageForm = FORM) -> Usage | None:
    """The usage of a response; None: it counts nothing. `output` are the items of the answer, where they are
    not in the response itself."""
    items = response.get("output") if output is None else output
    fees = fees_of(response, items if isinstance(items, list) else [])
    told = response.get("usage")
    usage = None
    if isinstance(told, dict):
        tier = response.get("service_tier")
        usage = read_chat_usage(write_json(told), form, service_tier=tier if isinstance(tier, str) else None)
    if not fees:
        return usage
    found: Usage = replace(
        Usage(estimated=True) if usage is None else usage,
        fees={**fees, **((usage.fees if usage is not None else None) or {})},
    )
    return found


def fees_of(response: Json, output: list[Any]) -> dict[str, int]:
    """Uses of what is charged by the use."""
    fees: dict[str, int] = {}
    searches = _told_searches(response)
    containers: set[str] = set()
    shown = 0
    for item in output:
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind == "web_search_call":
            shown += _is_search(item)
        elif kind == "code_interpreter_call":
            held = item.get("container_id")
            containers.add(held if isinstance(held, str) else "")
        elif isinstance(kind, str) and kind in PRICED_ITEMS:
            name = PRICED_ITEMS[kind]
            fees[name] = fees.get(name, 0) + 1
    searched = shown if searches is None else searches
    if searched:
        fees["web_search"] = searched
    if containers:
        fees["container"] = len(containers)
    return fees


def _told_searches(response: Json) -> int | None:
    """The searches that are billed, in the provider's own count; None: it tells none."""
    told = response.get("tool_usage")
    searches = told.get("web_search") if isinstance(told, dict) else None
    count = searches.get("num_requests") if isinstance(searches, dict) else None
    return count if count.__class__ is int and 0 <= count < COUNT_MAX else None


def _is_search(item: Json) -> bool:
    """Whether a call of the search has searched: to open a page, and to look in it, is free."""
    action = item.get("action")
    kind = action.get("type") if isinstance(action, dict) else None
    return item.get("status") != "failed" and (kind is None or kind == "search")
