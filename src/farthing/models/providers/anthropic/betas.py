"""Betas of Messages, where Claude is asked by others than Anthropic: each of them knows some, and refuses a
request that asks for another. Agents send a dozen."""

import re
from collections.abc import Collection, Iterable

from farthing.protocols import Unsaid
from farthing.types import Prompt, replace

HEADER = "anthropic-beta"
_NAME = re.compile(r"[\w.-]{1,60}", re.ASCII)


def of_messages(prompt: Prompt) -> bool:
    """Whether its client speaks Messages: what others send under such names is not meant for Claude."""
    return prompt.sent is not None and prompt.sent.dialect == "messages"


def going_up(passed: Iterable[tuple[str, str]], known: Collection[str]) -> list[str]:
    """The betas among a client's headers that go up."""
    return [beta for beta in _betas(value for name, value in passed if name == HEADER) if beta in known]


def with_left_here(unsaid: Unsaid, prompt: Prompt, known: Collection[str]) -> Unsaid:
    """`unsaid` with the betas of a client that do not go up."""
    sent = prompt.sent
    if sent is None or not sent.betas:
        return unsaid
    gone = [beta for beta in _betas((sent.betas,)) if beta not in known]
    if not gone:
        return unsaid
    names = dict.fromkeys(f"{HEADER}.{beta}" if _NAME.fullmatch(beta) else HEADER for beta in gone)
    told: Unsaid = replace(unsaid, gave_way=(*unsaid.gave_way, *names))
    return told


def _betas(values: Iterable[str]) -> dict[str, None]:
    said = (one.strip() for value in values for one in value.split(","))
    return dict.fromkeys(beta for beta in said if beta)
