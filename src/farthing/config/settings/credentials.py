"""Credentials that expire: of Entra (Azure), Google and AWS. What a table leaves out comes from the
environment by the names that the vendors' own SDKs read."""

from pathlib import Path

from farthing.config.settings.secret import Secret
from farthing.config.settings.table import Table

FETCHED = ("entra", "google", "aws")
"""Values of `auth` for credentials that are fetched; the table that says more bears the same name."""
ENTRA_SCOPE = "https://cognitiveservices.azure.com/.default"
GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class EntraConfig(Table, frozen=True):
    """An application or a managed identity of Microsoft Entra."""

    tenant_id: str | None = None
    """None: `AZURE_TENANT_ID`."""
    client_id: str | None = None
    """None: `AZURE_CLIENT_ID`; a managed identity needs none, unless the machine has several."""
    client_secret: Secret | None = None
    """None: `AZURE_CLIENT_SECRET`."""
    certificate_file: Path | None = None
    """PEM file with the certificate and its private key. None: `AZURE_CLIENT_CERTIFICATE_PATH`."""
    federated_token_file: Path | None = None
    """Token of a workload identity, read for each fetch. None: `AZURE_FEDERATED_TOKEN_FILE`."""
    scope: str = ENTRA_SCOPE
    authority: str | None = None
    """None: `AZURE_AUTHORITY_HOST`, else `https://login.microsoftonline.com`."""


class GoogleConfig(Table, frozen=True):
    """Google's application default credentials."""

    credentials_file: Path | None = None
    """None: `GOOGLE_APPLICATION_CREDENTIALS`, else what `gcloud auth application-default login` wrote, else
    the metadata server of the machine."""
    scope: str = GOOGLE_SCOPE


class AwsConfig(Table, frozen=True):
    """Keys of AWS, found in the order of its SDKs: the environment, a web identity, the shared files, a
    container's endpoint, the metadata of the machine."""

    profile: str | None = None
    """Of the shared files, which then stand before the environment. None: `AWS_PROFILE`, else `default`."""
    region: str | None = None
    """None: `AWS_REGION`, `AWS_DEFAULT_REGION`, else that of the profile."""
