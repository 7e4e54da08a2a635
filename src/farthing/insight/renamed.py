"""JSON output with keys that were renamed in this release under both names: scripts have one release to
switch to the new ones."""

from farthing.guarantees.certificates import renamed

OLD = {
    **renamed.OLD,
    "jobs": "errands",
    "jobs_nusd": "errands_nusd",
    "jobs_unpriced": "errands_unpriced",
}
"""New key to old one."""


def encode(value: object) -> bytes:
    """`value` as JSON, under the names of both releases."""
    return renamed.encode(value, OLD)
