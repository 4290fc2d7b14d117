"""Training samples of both domains as the network sees them."""

import torch
from torch import Tensor

from acclimate.data.datamodule import AdaptationData
from acclimate.data.served_data import first_samples
from acclimate.figures import drawable
from acclimate.training.figures.galleries import COLUMNS, Group, draw_gallery

ROWS = 3
# Inputs of each domain in the one picture of a kind that shows no single inputs.
NUM_TOGETHER = 100


def draw_samples(data: AdaptationData) -> Tensor | None:
    """Draw training samples in the views of training as a picture, uint8, shape (3, H, W); None if they cannot be shown.

    Of a labelled source equally many of each class are drawn, of the target, whose labels nobody has, the first ones, whose order
    is random.
    """
    domains, groups = data.domains, list[Group]()
    if domains.source is not None:
        labels = domains.source.train.labels
        indices = first_samples(domains.source.train, ROWS * COLUMNS) if labels is None else _of_each_class(labels)
        names = [] if labels is None else [drawable(domains.classes[number], length=11) for number in labels[indices].tolist()]
        drawn = "some" if labels is None else "equally many of each class"
        for view, inputs in data.training_views("source", indices):
            if (thumbnails := data.kind.thumbnails(inputs)) is not None:
                title = f"source: {len(domains.source.train):,} training inputs, {drawn} shown (view: {drawable(view, length=24)})"
                groups.append(Group(title, thumbnails, names))
    if domains.target is not None:
        indices = first_samples(domains.target.train, ROWS * COLUMNS)
        for view, inputs in data.training_views("target", indices):
            if (thumbnails := data.kind.thumbnails(inputs)) is not None:
                number = f"{len(domains.target.train):,} training inputs"
                title = f"target: {number} without labels, some shown at random (view: {drawable(view, length=24)})"
                groups.append(Group(title, thumbnails))
    return draw_gallery(groups) if groups else data.kind.draw(data.first_inputs(NUM_TOGETHER))


def _of_each_class(labels: Tensor) -> list[int]:
    """Return the indices of equally many samples of each class, each sample once, with a column for each of at most ten classes."""
    classes = sorted(set(labels.tolist()))
    columns = torch.linspace(0, len(classes) - 1, min(len(classes), COLUMNS)).long().tolist()
    rows = [(labels == classes[column]).nonzero()[:, 0] for column in columns]
    num_rows = min(ROWS, *map(len, rows))
    drawn = [found[torch.linspace(0, len(found) - 1, num_rows).long()].tolist() for found in rows]
    return [column[row] for row in range(num_rows) for column in drawn]
