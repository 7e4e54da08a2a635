"""Requests to compact a conversation: to give a summary with which a later request can go on in its place.

A provider that speaks Responses has this of its own. Any other model is asked for the summary by an
instruction at the end of the conversation.
"""

from typing import Any

from msgspec.structs import replace

from farthing.dialects.conversation import Conversation, Text, ToolChoice, Turn
from farthing.types import Json

TRIGGER = "compaction_trigger"
"""The type of the last item of a request that asks for it."""
INSTRUCTION = """\
The conversation above is about to be replaced by a summary of it, since it has become long. Another model \
will go on in your place and will see nothing of the conversation but the instructions at its beginning and \
what you write now.

Write that summary. State:
- what the user wants, in the user's own terms, with every constraint, preference and decision that holds;
- what has been done and found out, with the exact names that are needed to go on: files, functions, \
commands, identifiers, numbers, error messages;
- how things stand now, what is not finished, and what was tried and failed;
- what is to be done next, as concretely as it is known.

Write for a reader who must continue without asking back. Leave out small talk and what is settled and no \
longer matters. Call no tools, and do not go on with the task: answer with the summary alone."""
_PREFACE = """\
An earlier part of this conversation was replaced by the following summary, written by the model that had \
it. Go on from there, and do not do again what it says is done.

"""


def asks_to_compact(body: Json) -> bool:
    """Whether the last item of `input` asks for a summary in place of an answer."""
    items: Any = body.get("input")
    if items.__class__ is not list or not items:
        return False
    last = items[-1]
    return last.__class__ is dict and last.get("type") == TRIGGER


def compacting(conversation: Conversation) -> Conversation:
    """`conversation` as it asks for its summary. The tools stay, and none may be called: without them, a
    provider would find nothing of the conversation in its prefix cache, and Messages refuses calls of tools
    that it is not told."""
    choice = ToolChoice("none") if conversation.tools else conversation.choice
    asked = Turn("user", (Text(INSTRUCTION),))
    return replace(conversation, turns=(*conversation.turns, asked), choice=choice, format=None)


def told_summary(summary: str) -> Text:
    """A summary as the model that goes on is told it."""
    return Text(_PREFACE + summary)
