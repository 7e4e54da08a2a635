"""What there is to answer with where no file says so: provider keys in the environment, local servers."""

import asyncio
from collections.abc import Mapping

from farthing import config as configuration
from farthing.cli.itself import own_command
from farthing.config import Config
from farthing.errors import ConfigError

NOTHING_FOUND = "nothing to answer with: no configuration, provider key or local model server; go on with"


def _ways_on(command: str) -> str:
    """What to do where nothing is found, a line each."""
    ways = (
        (f"{command} demo", "everything offline, with simulated models"),
        (
            "export OPENAI_API_KEY=…",
            "or ANTHROPIC, GEMINI, GROQ, MISTRAL, DEEPSEEK, OPENROUTER, TOGETHER, XAI",
        ),
        ("ollama serve", "or vLLM, llama-server, LM Studio with a model loaded, on this machine"),
        (f"{command} serve --config FILE", "see docs/configuration.md"),
    )
    return "\n".join([NOTHING_FOUND, *(f"  {way:<34} {about}" for way, about in ways)])


def found_here(env: Mapping[str, str]) -> tuple[Config, list[str]]:
    """A configuration of what is found, without the variables that win over a file, and what a person should
    know of it. Asks local ports and the providers whose keys are there.

    Raises:
        ConfigError: nothing is found; the message says how to go on.
    """
    from farthing.models.catalogue import Catalogue  # 2,000 prices: only where they decide something
    from farthing.models.chosen import config_from
    from farthing.upstreams import look_around

    port = env.get(f"{configuration.ENV_PREFIX}SERVER__PORT", "")
    own_port = int(port) if port.isdecimal() else configuration.PORT
    found = asyncio.run(look_around(env, own_port))
    config, lines = config_from(found, Catalogue.load())
    if not found:
        how = _ways_on(own_command())
        raise ConfigError("\n".join([*lines, how] if found.hosted else [*found.notes, how]))
    return config, lines
