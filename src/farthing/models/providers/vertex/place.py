"""Where the models of a publisher are in a project of Google Cloud."""

import re

from farthing.config import VertexProviderConfig

VERSIONS = {"google": "/v1beta1", "anthropic": "/v1"}
"""The path of a base URL that has none, as the SDK of each publisher has it."""
LIST_VERSION = "/v1beta1"
"""Where the models of a publisher are listed."""
_VERSION = re.compile(r"/v\d\w*$", re.ASCII)


def place_of(config: VertexProviderConfig) -> str:
    """The path of a publisher, below the version."""
    return f"/projects/{config.project}/locations/{config.location}/publishers/{config.publisher}"


def version_in(path: str) -> str:
    """The version that `path` ends in, with its slash; empty: it ends in none."""
    found = _VERSION.search(path)
    return found[0] if found else ""


def list_of(config: VertexProviderConfig) -> str:
    return f"{LIST_VERSION}/publishers/{config.publisher}/models?pageSize=300"
