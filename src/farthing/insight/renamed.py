"""What is printed as JSON, with the keys that have another name since the last release under both: a script
has one release to go over to the new ones."""

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
