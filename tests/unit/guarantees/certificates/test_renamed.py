"""Certificates and policies of the last release are read, and those of this one are read by it."""

import json
from pathlib import Path

import msgspec
import pytest
from tests.certified import certificate

from farthing.errors import ConfigError
from farthing.guarantees.certificates import renamed
from farthing.guarantees.certificates import routing as certificates
from farthing.guarantees.policy import versions
from farthing.guarantees.policy.versions import Author

ANNA = Author(who="anna", at_unix_s=1.0)


def of_yesterday(path: Path) -> None:
    """Make the file what the last release would have written."""
    text = path.read_text()
    for new in renamed.OLD:
        text = text.replace(f'"{new}"', f'"_{new}"')
    assert '"_risk_max"' in text
    path.write_text(text)


def test_a_certificate_by_the_old_names_is_read_as_it_was(tmp_path: Path) -> None:
    path, made = certificates.certificate_path(tmp_path, "faq"), certificate()
    certificates.save(path, made)
    of_yesterday(path)
    assert certificates.load(path) == made


def test_a_policy_by_the_old_names_is_read_as_it_was(tmp_path: Path) -> None:
    book = versions.change(tmp_path, "faq", lambda before: versions.add(before, certificate(), ANNA))
    path = versions.place(tmp_path, "faq")
    of_yesterday(path)
    assert versions.load(path) == book


def test_what_is_written_has_both_names_so_that_the_last_release_reads_it(tmp_path: Path) -> None:
    path = certificates.certificate_path(tmp_path, "faq")
    certificates.save(path, certificate())
    told = json.loads(path.read_text())
    assert (told["epsilon"], told["segment_limit"]) == (told["risk_max"], told["segment_risk_max"])
    assert (told["epsilon"], told["segment_limit"]) == (0.02, 0.06)


def test_a_certificate_without_a_bound_is_still_refused(tmp_path: Path) -> None:
    path = certificates.certificate_path(tmp_path, "faq")
    certificates.save(path, certificate())
    told = {key: value for key, value in json.loads(path.read_text()).items() if "risk" not in key}
    del told["epsilon"]
    path.write_text(json.dumps(told))
    with pytest.raises(ConfigError, match="risk_max"):
        certificates.load(path)


def test_only_certificates_are_renamed() -> None:
    names = {"epsilon": 1, "models": [{"epsilon": 2}]}
    assert renamed.decode(msgspec.json.encode(names), dict) == names


def test_a_certificate_whose_two_names_disagree_is_refused_by_both(tmp_path: Path) -> None:
    path = certificates.certificate_path(tmp_path, "faq")
    certificates.save(path, certificate())
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "epsilon": 0.05}))
    with pytest.raises(ConfigError, match="`risk_max` and `epsilon`, its old name, disagree"):
        certificates.load(path)
