"""Overview of a run's data, from which a person sees how they were understood."""

from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch

from acclimate.data.domains import Domains
from acclimate.data.labels import TargetLabels
from acclimate.files.printable import printable
from acclimate.types import Part

# More classes are one number.
MAX_CLASSES = 20
# Six columns beside it fit into 80 characters.
MAX_WIDTH = 20


class Column(NamedTuple):
    """A part of a domain.

    Attributes:
        domain: `source` or `target`.
        part: The name of the part.
        counts: Samples of each class; None without labels.
        size: All samples.
    """

    domain: str
    part: str
    counts: list[int] | None
    size: int


def describe_data(domains: Domains, target_labels: TargetLabels) -> list[str]:
    """Return the lines of a table of the samples of each class in each part of both domains, and of what they are.

    Counts of target labels are shown, and used for nothing.

    Args:
        domains: All samples of a run.
        target_labels: Those of its target.
    """
    lines = _table(domains, target_labels)
    for name, parts in (("source", domains.source), ("target", domains.target)):
        if parts is not None and (about := parts.train.describe()):
            lines.append(printable(f"{name}: {about}"))
    if domains.target is not None:
        known = [part for part in get_args(Part) if target_labels.to_show(part) is not None]
        lines.append(
            f"target labels: known of {', '.join(known)}; only the final test uses those of test"
            if known
            else "target labels: none, so there will be no target accuracy"
        )
    return lines


def _table(domains: Domains, target_labels: TargetLabels) -> list[str]:
    classes = [printable(name) for name in domains.classes]
    columns = _columns(domains, target_labels)
    width = min(max(map(len, [*classes, "class"])), MAX_WIDTH)
    headings = [column.domain if column.part == "train" else "" for column in columns]
    rows = [_row("", headings, width), _row("class", [column.part for column in columns], width)]
    for number, name in enumerate(classes[:MAX_CLASSES]):
        rows.append(_row(name, ["?" if column.counts is None else f"{column.counts[number]:,}" for column in columns], width))
    if len(classes) > MAX_CLASSES:
        rows.append(f"… and {len(classes) - MAX_CLASSES:,} more classes")
    rows.append(_row("all", [f"{column.size:,}" for column in columns], width))
    return rows


def _columns(domains: Domains, target_labels: TargetLabels) -> list[Column]:
    columns = []
    for name, parts in (("source", domains.source), ("target", domains.target)):
        for part in get_args(Part) if parts is not None else ():
            samples = getattr(parts, part)
            if samples is not None:
                labels = samples.labels if name == "source" else target_labels.to_show(part)
                counts = None if labels is None else torch.bincount(labels, minlength=len(domains.classes)).tolist()
                columns.append(Column(name, part, counts, len(samples)))
    return columns


def _row(name: str, cells: Sequence[str], width: int) -> str:
    shown = name if len(name) <= width else f"{name[: width - 1]}…"
    return (shown.ljust(width) + "".join(f" {cell:>9}" for cell in cells)).rstrip()
