"""Overview of a run's data, with which the user can check how they were read."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from acclimate.data.domains import Domains
from acclimate.data.labels import TargetLabels
from acclimate.data.samples import NO_LABEL
from acclimate.files.printable import printable
from acclimate.types import PARTS, Domain, Part

# Further classes are only counted.
MAX_CLASSES = 20
# Width of the first column; six more columns fit into 80 characters.
MAX_WIDTH = 20


class Column(NamedTuple):
    """A column of the table: a part of a domain.

    Attributes:
        domain: `source` or `target`.
        part: Name of the part.
        counts: Number of samples of each class; None without labels.
        size: Number of all samples.
    """

    domain: Domain
    part: Part
    counts: list[int] | None
    size: int


def describe_data(domains: Domains, target_labels: TargetLabels) -> list[str]:
    """Return the lines of a table with the number of samples of each class and part, and a description of the samples.

    Counts of target labels are only shown.

    Args:
        domains: All samples of a run.
        target_labels: Labels of its target.
    """
    lines = _table(domains, target_labels)
    for name, parts in domains.by_name().items():
        if about := parts.train.describe():
            lines.append(printable(f"{name}: {about}"))
    if domains.target is not None:
        known = [part for part in PARTS if target_labels.to_show(part) is not None]
        lines.append(
            f"target labels: known of {', '.join(known)}; only the final test uses those of test"
            if known
            else "target labels: none, so there will be no target accuracy"
        )
    return lines


def _table(domains: Domains, target_labels: TargetLabels) -> list[str]:
    classes = [printable(name) for name in domains.classes]
    columns = _columns(domains, target_labels)
    named = [f"  {printable(name)}" for name, _ in _each_domain(domains, [])]
    width = min(max(map(len, [*classes, *named, "class"])), MAX_WIDTH)
    headings = [column.domain if column.part == "train" else "" for column in columns]
    rows = [_row("", headings, width), _row("class", [column.part for column in columns], width)]
    for number, name in enumerate(classes[:MAX_CLASSES]):
        rows.append(_row(name, ["?" if column.counts is None else f"{column.counts[number]:,}" for column in columns], width))
    if len(classes) > MAX_CLASSES:
        rows.append(f"… and {len(classes) - MAX_CLASSES:,} more classes")
    rows.append(_row("all", [f"{column.size:,}" for column in columns], width))
    for name, counts in _each_domain(domains, columns):
        rows.append(_row(f"  {printable(name)}", counts, width))
    return rows


def _each_domain(domains: Domains, columns: Sequence[Column]) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each of several sources or targets, and the number of its samples in each column."""
    for domain, parts in domains.by_name().items():
        for number, name in enumerate(parts.train.domain_names):
            cells = []
            for column in columns:
                numbers = parts.by_name()[column.part].domains if column.domain == domain else None
                cells.append("" if numbers is None else f"{int((numbers == number).sum()):,}")
            yield name, cells


def _columns(domains: Domains, target_labels: TargetLabels) -> list[Column]:
    columns = []
    for name, parts in domains.by_name().items():
        for part, samples in parts.by_name().items():
            labels = samples.labels if name == "source" else target_labels.to_show(part)
            known = None if labels is None else labels[labels != NO_LABEL]
            counts = None if known is None else torch.bincount(known, minlength=len(domains.classes)).tolist()
            columns.append(Column(name, part, counts, len(samples)))
    return columns


def _row(name: str, cells: Sequence[str], width: int) -> str:
    shown = name if len(name) <= width else f"{name[: width - 1]}…"
    return (shown.ljust(width) + "".join(f" {cell:>9}" for cell in cells)).rstrip()
