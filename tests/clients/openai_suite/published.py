"""OpenAI's operations as its package's types have them: what each takes, and what it answers with."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from openai.types import (
    Completion,
    CreateEmbeddingResponse,
    ImageEditStreamEvent,
    ImageGenStreamEvent,
    ImagesResponse,
    Model,
    ModelDeleted,
    ModerationCreateResponse,
    completion_create_params,
    embedding_create_params,
    image_create_variation_params,
    image_edit_params,
    image_generate_params,
    moderation_create_params,
)
from openai.types.audio import (
    Transcription,
    TranscriptionStreamEvent,
    Translation,
    speech_create_params,
    transcription_create_params,
    translation_create_params,
)
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionDeleted,
    ChatCompletionStoreMessage,
)
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.chat import completion_list_params as chat_list_params
from openai.types.chat import completion_update_params as chat_update_params
from openai.types.chat.completions import message_list_params
from openai.types.responses import (
    CompactedResponse,
    Response,
    ResponseItem,
    ResponseOutputMessage,
    ResponseStreamEvent,
    input_item_list_params,
    input_token_count_params,
    response_compact_params,
    response_create_params,
    response_retrieve_params,
)
from openai.types.responses.input_token_count_response import InputTokenCountResponse
from openai.types.shared.chat_model import ChatModel
from tests.clients.openai_suite.shapes import Json, example, fields, variants

Method = Literal["GET", "POST", "DELETE"]
SOUND: Final = b"RIFF\x24\x00\x00\x00WAVE"


@dataclass(frozen=True, slots=True)
class Operation:
    method: Method
    path: str
    """`{name}` stands for any one part of it."""
    answer: Callable[[Json], Json | bytes]
    """The whole answer to a body."""
    takes: Any = None
    """The type of what is sent, in the body or, with GET, in the query; None: nothing is."""
    streams: Callable[[Json], Iterator[Json]] | None = None
    """The events of the answer to a body; None: it has no streams."""
    done: bool = False
    """Its streams end with `[DONE]`."""

    def place(self, path: str) -> dict[str, str] | None:
        """The parts of a path by their names; None: it is another path."""
        found = re.fullmatch(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path), path)
        return None if found is None else found.groupdict()


def an(kind: Any, **told: Json) -> Callable[[Json], Json]:
    """An example of `kind`, of the model that was asked, with what is told."""

    def answer(body: Json) -> Json:
        found = {**example(kind), **told}
        if "model" in found and isinstance(body, dict) and "model" in body:
            found["model"] = body["model"]
        return found

    return answer


def page(kind: Any) -> Callable[[Json], Json]:
    data = [example(each) for each in variants(kind)]
    ends = {"first_id": "string", "last_id": "string", "has_more": False}
    return lambda body: {"object": "list", "data": data, **ends}


# -- streams --------------------------------------------------------------------------------------------


def chunks(kind: Any, body: Json) -> Iterator[Json]:
    """One with everything, the end, and the usage where it is wanted."""
    first, last = an(kind)(body), an(kind)(body)
    usage = last.pop("usage")
    del first["usage"]
    first["choices"][0]["finish_reason"] = None
    last["choices"] = [{**last["choices"][0], **NOTHING_MORE[kind], "logprobs": None}]
    yield first
    yield last
    if (body.get("stream_options") or {}).get("include_usage"):
        yield {**last, "choices": [], "usage": usage}


NOTHING_MORE: Final[dict[Any, Json]] = {ChatCompletionChunk: {"delta": {}}, Completion: {"text": ""}}

RESPONSE_EVENTS: Final = (
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
)
"""The stream of a message of one part of text."""


def response_events(body: Json) -> Iterator[Json]:
    known = {fields_of["type"]: fields_of for fields_of in map(example, variants(ResponseStreamEvent))}
    item = example(ResponseOutputMessage)
    for number, name in enumerate(RESPONSE_EVENTS):
        event = {**known[name], "sequence_number": number, "output_index": 0, "content_index": 0}
        if "response" in event:
            event["response"] = whole = an(Response)(body)
            whole["output"] = [item]
            if name != "response.completed":
                whole |= {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
        if "item" in event:
            event["item"] = item
        yield {name: value for name, value in event.items() if name in known[event["type"]]}


def each_of(kind: Any) -> Callable[[Json], Iterator[Json]]:
    return lambda body: map(example, variants(kind))


# -- all of them ----------------------------------------------------------------------------------------

CHAT: Final = "/chat/completions"
RESPONSES: Final = "/responses"

OPERATIONS: Final = (
    Operation(
        "POST", CHAT, an(ChatCompletion), chat_create_params.CompletionCreateParams,
        lambda body: chunks(ChatCompletionChunk, body), done=True,
    ),
    Operation("GET", CHAT, page(ChatCompletion), chat_list_params.CompletionListParams),
    Operation("GET", f"{CHAT}/{{id}}", an(ChatCompletion)),
    Operation("POST", f"{CHAT}/{{id}}", an(ChatCompletion), chat_update_params.CompletionUpdateParams),
    Operation("DELETE", f"{CHAT}/{{id}}", an(ChatCompletionDeleted)),
    Operation(
        "GET", f"{CHAT}/{{id}}/messages", page(ChatCompletionStoreMessage),
        message_list_params.MessageListParams,
    ),
    Operation(
        "POST", "/completions", an(Completion), completion_create_params.CompletionCreateParams,
        lambda body: chunks(Completion, body), done=True,
    ),
    Operation(
        "POST", "/embeddings", an(CreateEmbeddingResponse), embedding_create_params.EmbeddingCreateParams
    ),
    Operation("GET", "/models", lambda body: {"object": "list", "data": [model(name) for name in MODELS]}),
    Operation("GET", "/models/{id}", an(Model)),
    Operation("DELETE", "/models/{id}", an(ModelDeleted)),
    Operation(
        "POST", RESPONSES, an(Response), response_create_params.ResponseCreateParams, response_events
    ),
    Operation(
        "POST", f"{RESPONSES}/compact", an(CompactedResponse), response_compact_params.ResponseCompactParams
    ),
    Operation(
        "POST", f"{RESPONSES}/input_tokens", an(InputTokenCountResponse),
        input_token_count_params.InputTokenCountParams,
    ),
    Operation(
        "GET", f"{RESPONSES}/{{id}}", an(Response), response_retrieve_params.ResponseRetrieveParams,
        response_events,
    ),
    Operation("DELETE", f"{RESPONSES}/{{id}}", lambda body: {"id": "string", "deleted": True}),
    Operation("POST", f"{RESPONSES}/{{id}}/cancel", an(Response)),
    Operation(
        "GET", f"{RESPONSES}/{{id}}/input_items", page(ResponseItem),
        input_item_list_params.InputItemListParams,
    ),
    Operation(
        "POST", "/moderations", an(ModerationCreateResponse), moderation_create_params.ModerationCreateParams
    ),
    Operation(
        "POST", "/images/generations", an(ImagesResponse), image_generate_params.ImageGenerateParams,
        each_of(ImageGenStreamEvent),
    ),
    Operation(
        "POST", "/images/edits", an(ImagesResponse), image_edit_params.ImageEditParams,
        each_of(ImageEditStreamEvent),
    ),
    Operation(
        "POST", "/images/variations", an(ImagesResponse),
        image_create_variation_params.ImageCreateVariationParams,
    ),
    Operation("POST", "/audio/speech", lambda body: SOUND, speech_create_params.SpeechCreateParams),
    Operation(
        "POST", "/audio/transcriptions", an(Transcription),
        transcription_create_params.TranscriptionCreateParams, each_of(TranscriptionStreamEvent),
    ),
    Operation(
        "POST", "/audio/translations", an(Translation), translation_create_params.TranslationCreateParams
    ),
)  # fmt: skip


def model(name: str) -> Json:
    return {**example(Model), "id": name}


def named(kind: Any) -> list[str]:
    """The models that a type names."""
    return [name for each in variants(kind) if hasattr(each, "__args__") for name in each.__args__]


MODELS: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        [
            *named(ChatModel),
            *(
                name
                for operation in OPERATIONS
                if operation.method == "POST" and operation.takes is not None
                for each in variants(operation.takes)
                for name in named(fields(each).get("model", str))
            ),
        ]
    )
)
"""Every model that the types name."""
