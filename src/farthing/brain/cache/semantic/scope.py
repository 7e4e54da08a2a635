"""What must be equal before two questions are compared at all: everything but the words of the last one.

Scope is a hard partition, never part of a similarity. Tenant and plan, endpoint, model and tier asked for,
task, language, system prompt, tools, every parameter and unknown field, the version of the documents, the
policy, the embedder and the whole history before the last question are one digest; entries of another digest
are never looked at. "And in London?" after a talk about rents is another question than after one about rain,
and so it lies in another partition.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from farthing.brain.cache.keys import DROPPED, digest_of
from farthing.types import Json, Request

QUESTION_CHARS_MAX = 2_000  # longer is a document with a question in it; the embedder would cut it

PARTITIONING = 2
"""Raise it when what makes a partition changes: no old entry then lies in a new one, and no certificate that
was made under the old one holds."""

_FORMAT = f"farthing.partition.{PARTITIONING}"  # keeps these digests apart from every other use of the hash

_QUESTION = b"question"  # stands for the text left out: no JSON holds a byte string

_DROPPED_OF = DROPPED.intersection

# Fields that make an answer one of its own, whatever the question: never kept, never served.
_NEVER = {
    "n": (1, None),  # several answers differ on purpose
    "logprobs": (False, None),  # they belong to the very words that were asked
    "modalities": (["text"], None),  # sound is no text to compare
    "audio": (None,),
    "web_search_options": (None,),  # asks for what is new
}


class Scope(Struct, frozen=True):
    """Where a question lies, and its words."""

    partition: bytes
    question: str
    language: str


class Scopes:
    """Computes scopes under one embedder. `language_of` tells the language of a question, given what the
    classifier heard. `policies` gives each endpoint's version of what decides its
    answers; an endpoint that is not in it has the empty version. `arm` names the version of the routing
    policy that decides a request, empty without one."""

    __slots__ = ("_arm", "_embedder", "_language_of", "_policies")

    def __init__(
        self,
        *,
        embedder: str,
        language_of: Callable[[str, str], str],
        policies: dict[str, str] | None = None,
        arm: Callable[[Request], str] | None = None,
    ) -> None:
        self._embedder = embedder
        self._arm = arm
        self._language_of = language_of
        self._policies = policies or {}

    def policy(self, endpoint: str) -> str:
        return self._policies.get(endpoint, "")

    def scope(self, request: Request, heard: str) -> Scope | None:
        """The scope of `request`, of which the classifier heard a language; None when nothing similar may
        answer it.

        That is: it is no chat, its last message is no plain text of a user, tools were called on the way to
        it (an agent's step), it asks for what no other question's answer has (`n`, `logprobs`, sound, a web
        search), or it is in no language that the endpoint allows.
        """
        endpoint = request.endpoint
        if request.operation != "chat" or endpoint.semantic is None:
            return None
        body: Json = request.body.copy()
        for name in _DROPPED_OF(body):
            del body[name]
        for name in _NEVER.keys() & body.keys():
            if body[name] not in _NEVER[name]:
                return None
        messages = body.get("messages")
        if messages.__class__ is not list or not messages or any(map(_of_agent, messages)):
            return None
        split = _without_question(messages[-1])
        if split is None:
            return None
        question, rest = split
        if len(question) > QUESTION_CHARS_MAX or not question.strip() or not _is_text(question):
            return None
        language = self._language_of(question, heard)
        if language not in endpoint.semantic.languages:
            return None
        body["messages"] = [*messages[:-1], rest]
        policy = self.policy(endpoint.name)
        partition = digest_of(
            _FORMAT,
            policy if self._arm is None else policy + self._arm(request),
            request,
            body,
            self._embedder,
            language,
            endpoint.semantic.documents,
            bool(request.documents),  # whose answer names its documents does not take one that names none
        )
        return None if partition is None else Scope(partition, question, language)


def _is_text(question: str) -> bool:
    """JSON may escape halves of a character, which neither a model nor a file takes."""
    try:
        question.encode()
    except UnicodeEncodeError:
        return False
    return True


def _of_agent(message: Any) -> bool:
    """Whether a tool was called or has answered: what follows is a step of work, not a question."""
    return (
        message.__class__ is not dict
        or message.get("role") in ("tool", "function")
        or bool(message.get("tool_calls"))
        or bool(message.get("function_call"))
    )


def _without_question(message: Json) -> tuple[str, Json] | None:
    """The text of a user's message, and the message without it; None when it is not one plain text."""
    if message.get("role") != "user":
        return None
    content = message.get("content")
    if content.__class__ is str:
        return content, {**message, "content": _QUESTION}
    if content.__class__ is not list or len(content) != 1:
        return None
    (part,) = content
    if part.__class__ is not dict or part.get("type") != "text" or part.get("text").__class__ is not str:
        return None
    return part["text"], {**message, "content": [{**part, "text": _QUESTION}]}


def with_question(body: Json, question: str) -> Json:
    """`body`, whose last message is a user's plain text, with another text there."""
    messages = body["messages"]
    message = messages[-1]
    if isinstance(message["content"], str):
        last = {**message, "content": question}
    else:
        last = {**message, "content": [{**message["content"][0], "text": question}]}
    return {**body, "messages": [*messages[:-1], last]}
