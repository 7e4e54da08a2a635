"""A question to a model that must reply with one of a few words, about untrusted texts.

One of the texts may try to decide the reply. So they are given as JSON strings between unpredictable markers,
and the expected word carries a code of the call: a text that says "reply SAME" can at most make the reply
unreadable. An unreadable reply is no verdict, never a yes.
"""

import secrets
from collections.abc import Callable

import msgspec
from msgspec import Struct

from farthing.errors import UnknownModel
from farthing.types import Endpoint, Json, Request, Tenant, Terms, replace

TEXT_CHARS_MAX = 6_000  # per text; some 1,500 tokens
OUTPUT_TOKENS_MAX = 24  # a word with its code, in any tokenizer
CODE_BYTES = 4
ANSWER_S = 60.0

_encode = msgspec.json.Encoder().encode


class Call(Struct, frozen=True, kw_only=True):
    """One question for a judge: the messages, and the words that decide."""

    messages: list[Json]
    words: tuple[str, ...]
    """The possible replies, each with the code of the call."""

    @property
    def yes(self) -> str:
        return self.words[0]

    @property
    def no(self) -> str:
        return self.words[1]

    def body(self, target: str) -> Json:
        """The request in OpenAI's format."""
        return {
            "model": target,
            "messages": self.messages,
            "temperature": 0,
            "max_tokens": OUTPUT_TOKENS_MAX,
        }


def verdict(call: Call, reply: str | None) -> bool | None:
    """The judge's verdict; None if the reply is not exactly one of the two words."""
    given = word_of(call, reply)
    return None if given is None else given == 0


def word_of(call: Call, reply: str | None) -> int | None:
    """The index of the word of `call` that was given; None if the reply is not exactly one of them."""
    if reply is None:
        return None
    given = reply.strip().strip("\"'`*.").casefold()
    for place, word in enumerate(call.words):
        if given == word.casefold():
            return place
    return None


def call_of(instructions: str, shown: list[str], code: str, *words: str) -> Call:
    """`instructions` with the code inserted, then the shown texts; each of `words` gets the code."""
    messages: list[Json] = [
        {"role": "system", "content": instructions.format(code=code)},
        {"role": "user", "content": "\n\n".join(shown)},
    ]
    return Call(messages=messages, words=tuple(f"{word}-{code}" for word in words))


def code_of(*texts: str) -> str:
    """A random code that occurs in none of `texts`."""
    while True:
        code = secrets.token_hex(CODE_BYTES)
        if not any(code in text.casefold() for text in texts):
            return code


def quoted(name: str, text: str, code: str) -> str:
    """`text` as data; if it is too long, its two ends, with a note."""
    note = ""
    if len(text) > TEXT_CHARS_MAX:
        half = TEXT_CHARS_MAX // 2
        left_out = len(text) - TEXT_CHARS_MAX
        note = f" (its first and last {half} characters; {left_out} between them are left out)"
        text = f"{text[:half]} … {text[-half:]}"
    return f"[{name} {code}]{note}\n{_encode(text).decode()}\n[end of {name} {code}]"


def request_of(
    call: Call,
    *,
    request_id: str,
    tenant: Tenant,
    endpoint: Endpoint,
    target: str,
    now_s: float,
    within_s: float = ANSWER_S,
) -> Request:
    """`call` as a request to one target, without caches. The endpoint's terms are for its clients' requests;
    this request has its own deadline."""
    terms = Terms(deadline_s=within_s, calls_max=1, on_limit="refuse")
    endpoint = replace(endpoint, cache_exact="off", semantic=None, tier=None, terms=terms)
    text = str(call.messages[-1]["content"])
    return Request(
        id=request_id,
        tenant=tenant,
        endpoint=endpoint,
        operation="chat",
        model=target,
        body=call.body(target),
        text=text,
        prompt_chars=sum(len(str(message["content"])) for message in call.messages),
        output_tokens_max=OUTPUT_TOKENS_MAX,
        task_type="judge",
        received_s=now_s,
    )


def asking(
    call: Call,
    *,
    tenant: Tenant,
    name: str,
    endpoint: Callable[[str], Endpoint | None],
    target: str,
    clock: Callable[[], float],
    within_s: float = ANSWER_S,
) -> Callable[[str], Request]:
    """Id -> `call` as `request_of` builds it, under the endpoint `name` as configured when the background job
    runs.

    The returned function raises UnknownModel if the endpoint is gone by then.
    """

    def request(request_id: str) -> Request:
        found = endpoint(name)
        if found is None:
            raise UnknownModel(f"the endpoint `{name}` is gone")
        return request_of(
            call,
            request_id=request_id,
            tenant=tenant,
            endpoint=found,
            target=target,
            now_s=clock(),
            within_s=within_s,
        )

    return request
