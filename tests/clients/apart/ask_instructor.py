"""Ask with instructor what standard input says, and print what came of it.

In:  a JSON list of {base_url, api_key, mode, form, request}; `mode`: a name of `instructor.Mode`; `form`:
     whole, partial, iterable, retried or async.
Out: a JSON list in the same order of {answer} or {error: {type, status, message}}.

It runs in an environment of its own, which `tools/install_clients.sh conformance` makes.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import anthropic
import instructor
from pydantic import BaseModel, field_validator

Job = dict[str, Any]


class Town(BaseModel):
    """A town."""

    name: str
    people: int


class Capital(Town):
    @field_validator("people")
    @classmethod
    def large(cls, people: int) -> int:
        if people < 1_000:
            raise ValueError("a capital has a thousand people at least")
        return people


def client(job: Job) -> Any:
    asking = anthropic.Anthropic(base_url=job["base_url"], api_key=job["api_key"], max_retries=0)
    return instructor.from_anthropic(asking, mode=instructor.Mode[job["mode"]])


def whole(job: Job) -> Any:
    if job["mode"] == "ANTHROPIC_PARALLEL_TOOLS":
        several = client(job).messages.create(response_model=Iterable[Town], **job["request"])
        return [one.model_dump() for one in several]
    return client(job).messages.create(response_model=Town, max_retries=0, **job["request"]).model_dump()


def partial(job: Job) -> Any:
    parts = list(client(job).messages.create_partial(response_model=Town, **job["request"]))
    return parts[-1].model_dump()


def iterable(job: Job) -> Any:
    return [
        one.model_dump()
        for one in client(job).messages.create_iterable(response_model=Town, **job["request"])
    ]


def retried(job: Job) -> Any:
    return client(job).messages.create(response_model=Capital, max_retries=2, **job["request"]).model_dump()


def as_task(job: Job) -> Any:
    async def journey() -> Any:
        async with anthropic.AsyncAnthropic(
            base_url=job["base_url"], api_key=job["api_key"], max_retries=0
        ) as asking:
            found = instructor.from_anthropic(asking, mode=instructor.Mode[job["mode"]])
            return (await found.messages.create(response_model=Town, **job["request"])).model_dump()

    return asyncio.run(journey())


FORMS: dict[str, Callable[[Job], Any]] = {
    "whole": whole,
    "partial": partial,
    "iterable": iterable,
    "retried": retried,
    "async": as_task,
}


def outcome(job: Job) -> Job:
    try:
        return {"answer": FORMS[job["form"]](job)}
    except Exception as error:  # noqa: BLE001  # whatever the client raises is what came of it
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, anthropic.APIError):
            cause = cause.__cause__ or cause.__context__
        met = cause or error
        return {
            "error": {
                "type": type(met).__name__,
                "status": getattr(met, "status_code", None),
                "message": str(met),
            }
        }


if __name__ == "__main__":
    print(json.dumps([outcome(job) for job in json.load(sys.stdin)]))
