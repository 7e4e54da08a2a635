"""A reload never opens what the running configuration keeps closed."""

from farthing.config import loads
from farthing.config.opening import opening

TEXT = """
[providers.eu]
base_url = "https://eu.api.openai.com/v1"
[tiers.cheap]
targets = ["eu/small"]
[endpoints.patients]
{residency}
"""


def test_an_endpoint_that_stays_keeps_its_residency_until_a_restart() -> None:
    within, wider = (loads(TEXT.format(residency=f"residency = {one}"), {}) for one in ('["eu"]', '["eea"]'))
    anywhere = loads(TEXT.format(residency=""), {})
    found = opening(within, anywhere)
    assert found is not None and found[0] == "scope_gone"
    assert "patients would lose its residency" in found[1] and "restart" in found[1]
    assert opening(within, wider) is None and opening(anywhere, within) is None
    gone = loads(TEXT.format(residency="").replace("patients", "other"), {})
    assert opening(within, gone) is None
