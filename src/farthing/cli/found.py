"""What there is to answer with where no file says so: provider keys in the environment, local servers."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from farthing import config as configuration
from farthing.cli.itself import own_command
from farthing.cli.screen import beside, columns
from farthing.config import Config
from farthing.errors import ConfigError

if TYPE_CHECKING:
    from farthing.models.discovery.detect import Hosted

NOTHING_FOUND = "nothing to answer with: no configuration, provider key or local model server; go on with"
NONE_TAKEN = (
    "nothing to answer with: no configuration, no local model server, and no provider key that is taken"
)


def _ways_on(command: str, refused: "Sequence[Hosted]") -> str:
    """What to do where nothing is found, a line each; first of all with the keys that were refused."""
    ways = [
        (f"export {one.api_key.name}=…", f"a key that is valid at {one.preset.name}; this one was refused")
        for one in refused
    ]
    ways += (
        (f"{command} demo", "everything offline, with simulated models"),
        (
            "export OPENAI_API_KEY=…",
            "or ANTHROPIC, GEMINI, GROQ, MISTRAL, DEEPSEEK, OPENROUTER, TOGETHER, XAI",
        ),
        ("ollama serve", "or vLLM, llama-server, LM Studio with a model loaded, on this machine"),
        (
            f"{command} serve --config FILE",
            "any provider, Bedrock and Vertex too: see docs/providers.md",
        ),
    )
    told = [f"{NONE_TAKEN}; go on with"] if refused else [NOTHING_FOUND]
    return "\n".join([*told, *beside(ways, columns(sys.stderr))])


def state_dir_here(env: Mapping[str, str]) -> Path:
    """The state directory where there is no file."""
    given = env.get(f"{configuration.ENV_PREFIX}STATE_DIR", "")
    return Path(given).expanduser() if given else configuration.state_dir(Config(), env)


def found_here(env: Mapping[str, str]) -> tuple[Config, list[str]]:
    """A configuration of what is found, without the variables that win over a file, and what a person should
    know of it. Asks local ports and the providers whose keys are there.

    Raises:
        ConfigError: nothing is found; the message says how to go on.
    """
    from farthing.models.discovery.chosen import config_from
    from farthing.models.pricing.kept_list import current  # prices: only where they decide something
    from farthing.wiring.providers import look_around

    port = env.get(f"{configuration.ENV_PREFIX}SERVER__PORT", "")
    own_port = int(port) if port.isdecimal() else configuration.PORT
    found = asyncio.run(look_around(env, own_port))
    config, lines = config_from(found, current(state_dir_here(env)))
    if not found:
        refused = [one for one in found.hosted if one.said is not None and one.said.refused]
        raise ConfigError("\n".join([*found.notes, _ways_on(own_command(), refused)]))
    return config, lines
