"""The model of a conversation: what a request, an answer and the events of a stream say, in no dialect.

It is richer than any dialect, so that a reader loses nothing a writer could say. A reader turns one dialect
into it, a writer turns it into another; what a writer cannot say it names. Everything is frozen. Values that
a provider has to get back as they were sent (cache marks, signatures, schemas, what only one dialect knows)
are the very objects that were read: whoever has one must not change it.
"""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from farthing.types import Json, Usage

NOTHING: Json = {}
"""No further fields. Never changed."""
NO_NAMES: Mapping[str, str] = {}


# -- where the data of a block lies ----------------------------------------------------------------------


class Inline(Struct, frozen=True):
    """Data in the request itself."""

    media_type: str
    data: str
    """Base64, as it was sent."""


class Plain(Struct, frozen=True):
    """A document that is text."""

    text: str


class Link(Struct, frozen=True):
    url: str


class Stored(Struct, frozen=True):
    """A file that was uploaded before, known to the provider who has it."""

    id: str


class Composed(Struct, frozen=True):
    """A document that is made of blocks of text and images."""

    blocks: tuple["Block", ...]


Source = Inline | Plain | Link | Stored | Composed


# -- blocks --------------------------------------------------------------------------------------------------
#
# `cache` is the mark for a prefix cache (`cache_control`), verbatim; None: there is none. `extras` are fields
# that the model has no name for, by the name they came under.


class Text(Struct, frozen=True):
    text: str
    cache: Any = None
    citations: tuple[Json, ...] = ()
    """Where it was taken from, each as the provider says it."""
    extras: Json = NOTHING


class Image(Struct, frozen=True):
    source: Source
    detail: str = ""
    cache: Any = None
    extras: Json = NOTHING


class Document(Struct, frozen=True):
    source: Source
    name: str = ""
    cache: Any = None
    extras: Json = NOTHING


class Audio(Struct, frozen=True):
    """Sound that was sent, or an earlier answer that was spoken."""

    source: Source
    format: str = ""
    cache: Any = None
    extras: Json = NOTHING


class ToolCall(Struct, frozen=True):
    """The model wants a tool of the client to be used."""

    id: str
    name: str
    arguments: str
    """JSON as the model wrote it, which may be cut or none at all; of a custom tool its free text."""
    custom: bool = False
    cache: Any = None
    extras: Json = NOTHING


class ToolResult(Struct, frozen=True):
    call_id: str
    blocks: tuple["Block", ...]
    is_error: bool = False
    name: str = ""
    cache: Any = None
    """On the result as a whole; its blocks keep theirs."""
    plain: bool = True
    """It was told as one text, not as a list of blocks."""
    extras: Json = NOTHING


class Reasoning(Struct, frozen=True):
    """What the model thought before it went on. It goes back only to who made it, as it was made."""

    text: str
    signature: str = ""
    """Opaque proof that `text` is the provider's own; empty: none came with it."""
    redacted: str = ""
    """Opaque; in the place of a text that nobody may see."""
    maker: str = ""
    """The dialect whose block it is, signed or not; `chat` in an answer whose server called it
    `reasoning_content`; empty: nobody's, it is text alone."""
    extras: Json = NOTHING


class Refusal(Struct, frozen=True):
    text: str


class Opaque(Struct, frozen=True):
    """A block that one dialect alone knows (a tool that a provider ran itself, and what came of it)."""

    dialect: str
    kind: str
    value: Any
    """As it was read, its `type` included."""


Block = Text | Image | Document | Audio | ToolCall | ToolResult | Reasoning | Refusal | Opaque

Role = Literal["user", "assistant", "system", "developer"]


class Turn(Struct, frozen=True):
    """One message as it was sent: neighbours of one role are not joined here."""

    role: Role
    blocks: tuple[Block, ...]
    name: str = ""
    """Who of several speaks, in the client's words."""
    extras: Json = NOTHING


# -- tools ---------------------------------------------------------------------------------------------------


class FunctionTool(Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: Json | None = None
    """JSON schema; None: it takes none."""
    strict: bool | None = None
    cache: Any = None
    extras: Json = NOTHING


class CustomTool(Struct, frozen=True):
    """A tool that takes text, free or after a grammar."""

    name: str
    description: str | None = None
    format: Any = None
    cache: Any = None


class ServerTool(Struct, frozen=True):
    """A tool that the provider runs, verbatim."""

    kind: str
    value: Json


Tool = FunctionTool | CustomTool | ServerTool


class ToolChoice(Struct, frozen=True):
    mode: Literal["", "auto", "none", "required", "named", "allowed"] = ""
    """Empty: nothing was said. `named`: the one in `names`; `allowed`: any of them, or none."""
    names: tuple[str, ...] = ()
    must: bool = False
    """Of `allowed`: one of them has to be called."""
    parallel: bool | None = None
    extras: Json = NOTHING


NO_CHOICE = ToolChoice()


# -- how it is to be answered --------------------------------------------------------------------------------


class Format(Struct, frozen=True):
    """The form of the text of the answer."""

    kind: Literal["json_object", "json_schema", "other"]
    schema: Any = None
    name: str = ""
    description: str = ""
    strict: bool | None = None
    value: Any = None
    """As it was sent."""


class Thinking(Struct, frozen=True):
    """How much the model is to think before it answers."""

    effort: str = ""
    """`none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`; empty: not said."""
    budget_tokens: int | None = None
    value: Any = None
    """As a client of Messages says it (`thinking`), verbatim; None: it did not."""


NO_THINKING = Thinking()


class Conversation(Struct, frozen=True, kw_only=True):
    """A request. What is None or empty was not said."""

    dialect: str
    """The dialect it was read from."""
    model: str = ""
    system: tuple[Turn, ...] = ()
    """Instructions before all else (roles `system` and `developer`). Later ones stand among `turns`."""
    turns: tuple[Turn, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = NO_CHOICE
    legacy_functions: bool = False
    """Tools were told as `functions`, and a call is expected as `function_call`."""
    format: Format | None = None
    thinking: Thinking = NO_THINKING
    output_tokens_max: int | None = None
    stop: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    choices: int | None = None
    """How many answers are wanted, where more than one is."""
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Json | None = None
    logprobs: int | None = None
    """How many alternatives are wanted for each token of the answer; 0: its own probability alone."""
    user: str | None = None
    """The client's name for who asks."""
    service_tier: str | None = None
    cache: Any = None
    """A cache mark on the request as a whole, verbatim."""
    extras: Json = NOTHING
    """Fields that are none of the above, by the client's names; those with a neutral value are left out."""
    names: Mapping[str, str] = NO_NAMES
    """What the client's dialect calls a field of this struct, where it is called otherwise."""

    def name_of(self, field: str) -> str:
        """What the client wrote for one of the fields above."""
        return self.names.get(field, field)

    @property
    def thinks_by_habit(self) -> bool:
        """Whether that thinking is asked for says little: agents that speak this dialect ask for it with each
        request, of any model, and work without it."""
        return self.dialect != "chat"


# -- an answer -----------------------------------------------------------------------------------------------


Stop = Literal[
    "end",  # the model had said all
    "tool_calls",
    "stop_sequence",
    "length",  # the limit of output
    "context",  # the model's own window
    "pause",  # the provider's own tools want to go on
    "refusal",  # by the model
    "filter",  # by the provider
    "unknown",  # none was told, or a word that nobody here knows
]


class Message(Struct, frozen=True, kw_only=True):
    """A whole answer."""

    id: str
    model: str
    blocks: tuple[Block, ...]
    stop: Stop
    stop_said: str = ""
    """The provider's own word for it."""
    stop_sequence: str | None = None
    """The one that was found; None: none, or it was not told."""
    refused_why: str = ""
    """The provider's words on a refusal."""
    usage: Usage | None = None
    """None: it told none."""
    extras: Json = NOTHING


# -- the events of a streamed answer -------------------------------------------------------------------------
#
# `index` numbers the blocks of an answer. A block starts, gets deltas and stops; several may be open at once.


class Started(Struct, frozen=True):
    id: str
    model: str


class BlockStarted(Struct, frozen=True):
    index: int
    block: Block
    """What was known of it at first: a call has its id and name, and no arguments yet."""


class TextDelta(Struct, frozen=True):
    index: int
    text: str


class LogprobsDelta(Struct, frozen=True):
    """The probabilities of the tokens of the next piece of a text. Told only by readers that are asked to."""

    index: int
    tokens: tuple[Json, ...]
    """As chat completions have them: `token`, `logprob`, `bytes`, `top_logprobs`."""


class ArgumentsDelta(Struct, frozen=True):
    index: int
    text: str


class ReasoningDelta(Struct, frozen=True):
    index: int
    text: str


class SignatureDelta(Struct, frozen=True):
    index: int
    signature: str
    """Takes the place of an earlier one."""


class CitationDelta(Struct, frozen=True):
    index: int
    citation: Json


class OpaqueDelta(Struct, frozen=True):
    """A piece that one dialect alone knows, of an opaque block or of another."""

    index: int
    dialect: str
    value: Any


class BlockStopped(Struct, frozen=True):
    index: int


class Stopped(Struct, frozen=True):
    """Why the answer ended. Nothing of it comes after this."""

    stop: Stop
    said: str = ""
    stop_sequence: str | None = None
    refused_why: str = ""


class Counted(Struct, frozen=True):
    """What the answer used so far; a later one takes the place of an earlier one."""

    usage: Usage


class Ended(Struct, frozen=True):
    """The stream is complete."""


class Ping(Struct, frozen=True):
    """The connection lives."""


Event = (
    Started
    | BlockStarted
    | TextDelta
    | LogprobsDelta
    | ArgumentsDelta
    | ReasoningDelta
    | SignatureDelta
    | CitationDelta
    | OpaqueDelta
    | BlockStopped
    | Stopped
    | Counted
    | Ended
    | Ping
)

ENDED = Ended()
PING = Ping()
