"""Where the models of a publisher are in a project of Google Cloud."""

from farthing.config import VertexProviderConfig

VERSION = "/v1"
"""The path of a base URL that has none."""
LIST_VERSION = "/v1beta1"
"""Where the models of a publisher are listed."""


def place_of(config: VertexProviderConfig) -> str:
    """The path of a publisher, below the version."""
    return f"/projects/{config.project}/locations/{config.location}/publishers/{config.publisher}"


def list_of(config: VertexProviderConfig) -> str:
    return f"{LIST_VERSION}/publishers/{config.publisher}/models?pageSize=300"
