"""Where targets answer, and which of them may be asked where data has to stay.

A region is a cloud's own name of one (`eu-west-1`, `europe-west4`, `westeurope`) or an area (`eu`). The name
does not tell the area: `eu-west-2` is London and `europe-west6` Zurich. `AREAS` says it, and what it does not
know lies in no area. The region of a target is that of its provider's table, else what the address says;
Azure's address says nothing, as its deployments may answer anywhere.
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from farthing.config.settings.gateway import BedrockProviderConfig, ProviderConfig
from farthing.dialects.converse.models import place_of

UNKNOWN = ""
LOCAL = "local"
"""Of an address on the gateway's own machine."""

_REGIONS = {
    "eu": (
        "eu eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3 eusc-de-east-1 "
        "europe-central2 europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west3 "
        "europe-west4 europe-west8 europe-west9 europe-west10 europe-west12 "
        "austriaeast belgiumcentral denmarkeast francecentral francesouth germanynorth germanywestcentral "
        "italynorth northeurope polandcentral spaincentral swedencentral swedensouth westeurope"
    ),
    "no": "no norwayeast norwaywest",
    "uk": "uk eu-west-2 europe-west2 uksouth ukwest",
    "ch": "ch eu-central-2 europe-west6 switzerlandnorth switzerlandwest",
    "us": (
        "us us-east-1 us-east-2 us-west-1 us-west-2 us-gov-east-1 us-gov-west-1 "
        "us-central1 us-east1 us-east4 us-east5 us-south1 us-west1 us-west2 us-west3 us-west4 "
        "centralus eastus eastus2 northcentralus southcentralus westcentralus westus westus2 westus3"
    ),
    "ca": (
        "ca ca-central-1 ca-west-1 northamerica-northeast1 northamerica-northeast2 canadacentral canadaeast"
    ),
    "jp": "jp ap-northeast-1 ap-northeast-3 asia-northeast1 asia-northeast2 japaneast japanwest",
    "kr": "kr ap-northeast-2 asia-northeast3 koreacentral koreasouth",
    "sg": "sg ap-southeast-1 asia-southeast1 southeastasia",
    "in": "in ap-south-1 ap-south-2 asia-south1 asia-south2 centralindia southindia westindia",
    "au": (
        "au ap-southeast-2 ap-southeast-4 australia-southeast1 australia-southeast2 "
        "australiacentral australiaeast australiasoutheast"
    ),
    "br": "br sa-east-1 southamerica-east1 brazilsouth",
}
AREAS: Mapping[str, str] = {name: area for area, names in _REGIONS.items() for name in names.split()}
"""Regions to the area that each lies in: the European Union, or a country."""
AREA_NAMES = ("eu", "eea", *(area for area in _REGIONS if area != "eu"))
"""The names of areas."""
_WIDER: Mapping[str, str] = {"eu": "eea", "no": "eea"}

_AWS = re.compile(
    r"(?:^|\.)([a-z]{2,4}(?:-[a-z]+)+-\d+)\.(?:vpce\.)?(?:amazonaws\.(?:com(?:\.cn)?|eu)|api\.aws)$"
)
_GOOGLE = re.compile(
    r"([a-z]+-[a-z]+\d+)-aiplatform\.googleapis\.com|aiplatform\.([a-z0-9-]+)\.rep\.googleapis\.com"
)
_OPENAI = re.compile(r"([a-z]{2})\.api\.openai\.com")
_PROFILES: Mapping[str, str] = {
    "eu": "eu",
    "us": "us",
    "us-gov": "us",
    "jp": "jp",
    "au": "au",
    "ca": "ca",
    "in": "in",
    "apac": "apac",
}
"""How Bedrock's inference profiles begin: each answers anywhere in its area, whatever region is asked. Of
others (`global`, and those of a later day) it is unknown where."""


def regions_of(provider: ProviderConfig, model: str) -> tuple[str, ...]:
    """Where a model of a provider answers, at each of its addresses; an empty text: unknown."""
    bedrock = isinstance(provider, BedrockProviderConfig)
    found = [region_at(provider.base_url, provider.region, model, bedrock=bedrock)]
    found += [region_at(one.base_url, one.region, model, bedrock=bedrock) for one in provider.replicas]
    return tuple(dict.fromkeys(found))


def region_at(base_url: str, region: str, model: str, *, bedrock: bool = False) -> str:
    """Where a model answers at an address whose table says `region`; empty: unknown. `bedrock`: its models
    are named as there, whatever the address."""
    host = _host(base_url)
    aws = _AWS.search(host)
    if aws is not None or bedrock:
        if model.startswith("arn:") and "application-inference-profile" in model:
            return UNKNOWN
        place = place_of(model.rpartition("/")[2])
        if place:
            return _PROFILES.get(place, UNKNOWN)
    if region:
        return region.lower()
    return aws[1] if aws is not None else _by_host(host)


def _by_host(host: str) -> str:
    google = _GOOGLE.fullmatch(host)
    if google is not None:
        return google[1] or google[2]
    openai = _OPENAI.fullmatch(host)
    if openai is not None:
        return openai[1]
    try:
        return LOCAL if host == "localhost" or ipaddress.ip_address(host).is_loopback else UNKNOWN
    except ValueError:
        return UNKNOWN


def _host(base_url: str) -> str:
    try:
        return (urlsplit(base_url).hostname or "").lower()
    except ValueError:
        return ""


def is_within(region: str, residency: Collection[str]) -> bool:
    """Whether `region` is one of `residency`, or lies in an area of it. What is unknown does not."""
    if not region:
        return False
    area = AREAS.get(region, "")
    return region in residency or area in residency or _WIDER.get(area, "\0") in residency


def known_names() -> frozenset[str]:
    """Every name of a region or an area that is known here."""
    return frozenset({*AREAS, *AREAS.values(), *_WIDER.values(), LOCAL, "apac"})
