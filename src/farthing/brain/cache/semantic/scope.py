"""What must be equal before two questions are compared at all: everything except the last question's words.

The scope is a hard partition, never part of a similarity. Tenant and plan, endpoint, requested model and
tier, task, language, system prompt, tools, every parameter and unknown field, the version of the documents,
the policy, the embedder and the whole history before the last question form one digest; entries with another
digest are never considered. "And in London?" after a conversation about rents is a different question from
one after rain, so it lies in another partition.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from farthing.brain.cache.keys import digest_of, reduced
from farthing.types import Json, Request

QUESTION_CHARS_MAX = 2_000  # a longer one is a document with a question; the embedder would cut it

PARTITIONING = 2
"""Raise it when the rules that form partitions change: then no old entry lies in a new partition, and no
certificate made under the old rules holds."""

_FORMAT = f"farthing.partition.{PARTITIONING}"  # separates these digests from every other use of the hash

_QUESTION = b"question"  # replaces the question's text; JSON cannot contain a byte string

# Fields that make an answer specific to its request, whatever the question: never stored, never served.
_NEVER = {
    "n": (1, None),  # several answers differ on purpose
    "logprobs": (False, None),  # they belong to exactly this request
    "modalities": (["text"], None),  # audio cannot be compared as text
    "audio": (None,),
    "web_search_options": (None,),  # asks for current information
    "mcp_servers": (None, []),  # so do tools that the provider calls
    "container": (None,),  # files of earlier requests
}


class Scope(Struct, frozen=True):
    """The partition of a question, and its words."""

    partition: bytes
    question: str
    language: str


class Scopes:
    """Computes scopes for one embedder. `language_of` gives the language of a question from the question and
    the classifier's language. `policies` gives each endpoint's version of everything that decides its
    answers; an absent endpoint has the empty version. `arm` names the version of the routing policy that
    decides a request, or is empty."""

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

    def scope(self, request: Request, classified: str) -> Scope | None:
        """The scope of `request`; `classified` is the classifier's language. None if no similar answer may
        serve it.

        That is: it is not a chat, its last message is not a user's plain text, tools were called before it
        (an agent's step), it asks for something that no other answer has (`n`, `logprobs`, audio, a web
        search, tools that its provider runs), or its language is not one that the endpoint allows.
        """
        endpoint = request.endpoint
        if request.operation != "chat" or endpoint.semantic is None:
            return None
        body = reduced(request.body)
        for name in _NEVER.keys() & body.keys():
            if body[name] not in _NEVER[name]:
                return None
        messages = body.get("messages")
        if messages.__class__ is not list or not messages or any(map(_of_agent, messages)):
            return None
        if "tools" in body and any(map(_runs_there, _listed(body["tools"]))):
            return None
        split = _without_question(messages[-1])
        if split is None:
            return None
        question, rest = split
        if len(question) > QUESTION_CHARS_MAX or not question.strip() or not _is_text(question):
            return None
        language = self._language_of(question, classified)
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
            bool(request.documents),  # a request that names documents never takes an answer that names none
        )
        return None if partition is None else Scope(partition, question, language)


def _is_text(question: str) -> bool:
    """JSON can escape lone surrogates, which neither a model nor a file accepts."""
    try:
        question.encode()
    except UnicodeEncodeError:
        return False
    return True


def _of_agent(message: Any) -> bool:
    """Whether a tool was called or has answered: what follows is an agent's step, not a question."""
    return (
        message.__class__ is not dict
        or message.get("role") in ("tool", "function")
        or bool(message.get("tool_calls"))
        or bool(message.get("function_call"))
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _runs_there(tool: Any) -> bool:
    """Whether the provider runs it: what it finds is of the moment."""
    return tool.__class__ is dict and tool.get("type", "function") not in ("function", "custom")


def _without_question(message: Json) -> tuple[str, Json] | None:
    """The text of a user's message, and the message without it; None if it is not one plain text."""
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
    """`body` with another text in its last message, which is a user's plain text."""
    messages = body["messages"]
    message = messages[-1]
    if isinstance(message["content"], str):
        last = {**message, "content": question}
    else:
        last = {**message, "content": [{**message["content"][0], "text": question}]}
    return {**body, "messages": [*messages[:-1], last]}
