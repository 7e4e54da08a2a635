"""Ask with frameworks that speak OpenAI's dialects, as standard input says, and print what came of it.

In:  a JSON list of {client, base_url, api_key, model, streamed}; `client`: a name of `CLIENTS`.
Out: a JSON list in the same order of {answer} or {error: {type, status, message}}.

Each asks for the weather of Oslo with a tool where it has tools, and the answer is what it says then. It runs
in an environment of its own, which `tools/install_clients.sh conformance` makes.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any

import agents
import instructor
import llm
import openai
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from llm.default_plugins.openai_models import Chat, Completion
from pydantic import BaseModel

Job = dict[str, Any]
QUESTION = "What is the weather in Oslo? Use the tool weather."


class Town(BaseModel):
    """A town."""

    name: str
    people: int


def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


def openai_client(job: Job) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=job["base_url"], api_key=job["api_key"])


def agents_sdk(job: Job, model: Any) -> str:
    agent = Agent(name="reporter", instructions="Be brief.", tools=[function_tool(weather)], model=model)

    async def run() -> str:
        if not job["streamed"]:
            return str((await Runner.run(agent, QUESTION)).final_output)
        streaming = Runner.run_streamed(agent, QUESTION)
        deltas = [
            event.data.delta
            async for event in streaming.stream_events()
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
        ]
        said = str(streaming.final_output)
        assert "".join(deltas) == said, (deltas, said)
        return said

    return asyncio.run(run())


def agents_structured(job: Job) -> Any:
    model = OpenAIResponsesModel(model=job["model"], openai_client=openai_client(job))
    agent = Agent(name="reporter", output_type=Town, model=model)
    found: Town = asyncio.run(Runner.run(agent, "A town")).final_output
    return found.model_dump()


def instructed(job: Job, mode: instructor.Mode) -> Any:
    client = instructor.from_openai(
        openai.OpenAI(base_url=job["base_url"], api_key=job["api_key"]), mode=mode
    )
    asked: Any = {"model": job["model"], "messages": [{"role": "user", "content": "A town, by Town"}]}
    if not job["streamed"]:
        found: Town = client.create(response_model=Town, max_retries=0, **asked)
        return found.model_dump()
    *_, last = client.create_partial(response_model=Town, max_retries=0, **asked)
    return last.model_dump()


def llama_index(job: Job, model: Any) -> str:
    if job["streamed"]:
        *_, last = model.stream_chat([ChatMessage(role="user", content=QUESTION)])
        return str(last.message.content)
    agent = FunctionAgent(tools=[weather], llm=model, streaming=False)

    async def run() -> str:
        return str(await agent.run(QUESTION))

    return asyncio.run(run())


def llama_like(job: Job) -> str:
    model = OpenAILike(
        model=job["model"],
        api_base=job["base_url"],
        api_key=job["api_key"],
        is_chat_model=True,
        is_function_calling_model=True,
    )
    return llama_index(job, model)


def llama_completes(job: Job) -> str:
    """As it is by default: through completions."""
    model = OpenAILike(model=job["model"], api_base=job["base_url"], api_key=job["api_key"])
    if job["streamed"]:
        *_, last = model.stream_complete("hello")
        return str(last.text)
    return str(model.complete("hello").text)


def llama_responses(job: Job) -> str:
    model = OpenAIResponses(
        model=job["model"], api_base=job["base_url"], api_key=job["api_key"], context_window=100_000
    )
    return llama_index(job, model)


def llm_model(job: Job, kind: Any) -> str:
    model = kind(job["model"], model_name=job["model"], api_base=job["base_url"])
    model.key = job["api_key"]
    return str(model.prompt("hello", stream=job["streamed"]).text())


CLIENTS: dict[str, Callable[[Job], Any]] = {
    "agents": lambda job: agents_sdk(
        job, OpenAIResponsesModel(model=job["model"], openai_client=openai_client(job))
    ),
    "agents chat": lambda job: agents_sdk(
        job, OpenAIChatCompletionsModel(model=job["model"], openai_client=openai_client(job))
    ),
    "agents structured": agents_structured,
    "instructor tools": lambda job: instructed(job, instructor.Mode.TOOLS),
    "instructor json": lambda job: instructed(job, instructor.Mode.JSON_SCHEMA),
    "instructor responses": lambda job: instructed(job, instructor.Mode.RESPONSES_TOOLS),
    "llama-index like": llama_like,
    "llama-index completes": llama_completes,
    "llama-index responses": llama_responses,
    "llm": lambda job: llm_model(job, Chat),
    "llm completes": lambda job: llm_model(job, Completion),
}


def asked(job: Job) -> Job:
    try:
        return {"answer": CLIENTS[job["client"]](job)}
    except Exception as error:  # noqa: BLE001  # whatever it raises is what came of it
        status = getattr(error, "status_code", None)
        return {"error": {"type": type(error).__name__, "status": status, "message": str(error)[:2_000]}}


if __name__ == "__main__":
    agents.set_tracing_disabled(True)
    llm.user_dir  # noqa: B018  # it is read when a model is made
    print(json.dumps([asked(job) for job in json.load(sys.stdin)]))
