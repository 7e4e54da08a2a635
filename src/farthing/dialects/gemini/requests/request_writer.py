"""A conversation as the body of `generateContent`.

What Gemini cannot say is named, never left out in silence: `unsaid` has the client's fields that ask for
something this form has no word for, `yielded` what had to give way in this one request. Where a model decides
how something is said, `models` knows.

Sources: the types of Google's SDK (`google-genai`); docs: "generateContent", "Function calling", "Thinking",
"Thought signatures", "Structured output".
"""

from farthing.dialects.chat.fields import BILLING, is_billing
from farthing.dialects.conversation import Conversation, Text, Turn
from farthing.dialects.gemini.requests.notes import Notes
from farthing.dialects.gemini.requests.settings import SettingsWriter
from farthing.dialects.gemini.requests.turns import TurnWriter
from farthing.dialects.gemini.signatures import Known, unknown
from farthing.dialects.written import Written
from farthing.types import Json, replace


def translate(
    conversation: Conversation,
    *,
    model: str,
    provider: str = "",
    known: Known = unknown,
    files: tuple[str, ...] = (),
) -> Written:
    """`files`, `provider`: as of `Notes`. `known` knows the signatures of calls whose clients have not kept
    them. Never raises on what a reader gives. Values in the body are the conversation's own: change none."""
    notes = Notes(conversation, model, files, provider)
    turns = TurnWriter(notes, known)
    system = turns.system(_system(notes))
    body: Json = {"contents": turns.contents(conversation.turns)}
    if system:
        body["systemInstruction"] = {"parts": system}
    SettingsWriter(notes).write(body, turns)
    return notes.written(body)


def _system(notes: Notes) -> tuple[Turn, ...]:
    """The instructions that are some: a note for Anthropic's billing is none, and differs each time."""
    system = notes.said.system
    first = system[0].blocks[0] if system and system[0].blocks else None
    if notes.said.dialect != "messages" or not isinstance(first, Text) or not is_billing(first.text):
        return system
    notes.give_way(BILLING)
    return (replace(system[0], blocks=system[0].blocks[1:]), *system[1:])
