"""The table of the parts of all samples, `parts.csv` in the folder of a run."""

import csv
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import get_args

from acclimate.data.domains import Domains, Parts
from acclimate.data.samples import Samples, named_domain
from acclimate.errors import ConfigError, DataError
from acclimate.files.atomic_files import write_table
from acclimate.types import PARTS, Domain

log = logging.getLogger(__name__)

PARTS_FILE = "parts.csv"
HEADINGS = ("sample", "domain", "part", "group", "digest")


def write_parts(path: Path, domains: Domains, group_of: Callable[[str], str | None]) -> None:
    """Write a row for each sample that has a digest.

    Args:
        path: The file.
        domains: All samples of a run.
        group_of: Function from the name of a sample to its group, or None.
    """
    write_table(path, [HEADINGS, *_rows(domains, group_of)])


def _rows(domains: Domains, group_of: Callable[[str], str | None]) -> Iterator[tuple[str, ...]]:
    for domain, parts in domains.by_name().items():
        for part, samples in parts.by_name().items():
            digests = samples.digests()
            for index, digest in enumerate([] if digests is None else digests.tolist()):
                name = samples.name(index) or ""
                yield name, named_domain(domain, samples, index), part, group_of(name) or "", f"{digest & (2**64 - 1):016x}"


def read_parts(path: Path, given: Mapping[str, Samples], domain: Domain, what: str | Path) -> Parts:
    """Divide samples as a table says. It identifies them by their digests, so their files may have been moved.

    Args:
        path: A table from `write_parts`.
        given: All samples of a domain, with digests, in one or more sets.
        domain: Domain of the samples.
        what: Name of the domain's data for messages.

    Raises:
        ConfigError: If there is no such table.
        DataError: If a sample is not in it, a part would be empty, or a part would contain samples of several sets.
    """
    known, met = _read(path, domain), set[str]()
    found: dict[str, Samples] = {}
    for samples in given.values():
        digests = samples.digests()
        assert digests is not None
        keys = [f"{digest & (2**64 - 1):016x}" for digest in digests.tolist()]
        met |= set(keys)
        if unknown := [index for index, key in enumerate(keys) if key not in known]:
            raise DataError(
                f"{path} does not say in which part {len(unknown)} of the {len(keys)} samples of {what} are, such as "
                f"{samples.name(unknown[0]) or f'number {unknown[0]}'}. Take a table of the same data, or divide anew: data.parts=null."
            )
        for part in PARTS:
            if indices := [index for index, key in enumerate(keys) if known[key] == part]:
                if part in found:
                    raise DataError(f"{what} is divided already, and {path} mixes its parts. Divide anew: data.parts=null.")
                found[part] = samples.take(indices)
    if missing := len(known.keys() - met):
        log.warning("%d samples of the %s that %s lists are not in %s.", missing, domain, path, what)
    if empty := next((part for part in ("train", "val") if part not in found), None):
        raise DataError(f"{path} leaves the part {empty} of {what} empty. Divide anew: data.parts=null.")
    return Parts(found["train"], found["val"], found.get("test"))


def has_same_parts(path: Path, domains: Domains) -> bool:
    """Return True if a table lists exactly these samples, by their digests, in the same parts.

    Args:
        path: A table from `write_parts`.
        domains: All samples of a run.
    """
    rows = list(_rows(domains, lambda name: None))
    return all(
        _read(path, domain) == {digest: part for _, owner, part, _, digest in rows if owner.partition("/")[0] == domain}
        for domain in get_args(Domain)
    )


def _read(path: Path, domain: Domain) -> dict[str, str]:
    """Return the part of each digest of a domain."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            if not {"domain", "part", "digest"} <= set(table.fieldnames or ()):
                raise ConfigError(
                    f"data.parts={path} is no table of parts: it lacks the columns domain, part and digest. Type RUN/{PARTS_FILE}."
                )
            rows = [row for row in table if row["domain"].partition("/")[0] == domain]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"data.parts={path} cannot be read: {error}. Type data.parts=RUN/{PARTS_FILE}.") from error
    if wrong := next((row for row in rows if row["part"] not in PARTS), None):
        raise DataError(f"{path} has the part {wrong['part']!r}, but may have only {', '.join(PARTS)}.")
    return {row["digest"]: row["part"] for row in rows}
