"""Training samples of both domains as the network sees them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.data.datamodule import AdaptationData
from acclimate.data.samples import Samples
from acclimate.data.sampling import Draw
from acclimate.figures import drawable
from acclimate.inputs import Inputs
from acclimate.training.figures.galleries import COLUMNS, Group, draw_gallery
from acclimate.types import Domain

ROWS = 3
# Inputs of each domain in the one picture of a kind that shows no single inputs.
NUM_TOGETHER = 100


def draw_samples(data: AdaptationData) -> Tensor | None:
    """Draw training samples in the views of training as a picture, uint8, shape (3, H, W); None if they cannot be shown.

    Of a labelled source equally many of each class are drawn, otherwise a random choice.
    """
    domains, groups = data.domains, list[Group]()
    if domains.source is not None:
        labels = domains.source.train.labels
        indices = random_samples(domains.source.train, ROWS * COLUMNS) if labels is None else _of_each_class(labels)
        names = [] if labels is None else [drawable(domains.classes[number], length=11) for number in labels[indices].tolist()]
        drawn = "some" if labels is None else "equally many of each class"
        for view, inputs in _training_views(data, "source", indices):
            if (thumbnails := data.kind.thumbnails(inputs)) is not None:
                title = f"source: {len(domains.source.train):,} training inputs, {drawn} shown (view: {drawable(view, length=24)})"
                groups.append(Group(title, thumbnails, names))
    if domains.target is not None:
        indices, number, few = random_samples(domains.target.train, ROWS * COLUMNS), len(domains.target.train), len(data.labelled_target)
        known = f", {few:,} labelled" if few else " without labels"
        for view, inputs in _training_views(data, "target", indices):
            if (thumbnails := data.kind.thumbnails(inputs)) is not None:
                title = f"target: {number:,} training inputs{known}, some shown at random (view: {drawable(view, length=24)})"
                groups.append(Group(title, thumbnails))
    return draw_gallery(groups) if groups else data.kind.draw(random_inputs(data, NUM_TOGETHER))


def random_inputs(data: AdaptationData, num: int) -> dict[str, Inputs]:
    """Return a random choice of the training inputs of each domain without augmentation, see `random_samples`."""
    view = data.kind.view("plain")
    trained = data.domains.in_part("train").items()
    return {domain: view.look(samples.load(random_samples(samples, num)), []) for domain, samples in trained}


def random_samples(samples: Samples, num: int) -> list[int]:
    """Return the indices of a random choice of samples, always the same, with as many of each of several domains."""
    # Samples may be sorted by their classes.
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))
    if samples.domains is not None:
        domains = samples.domains[order]
        # The number of samples of the same domain up to each one.
        turns = torch.nn.functional.one_hot(domains).cumsum(dim=0).gather(1, domains[:, None])[:, 0]
        order = order[turns.argsort(stable=True)]
    return order[:num].sort().values.tolist()


def _training_views(data: AdaptationData, domain: Domain, indices: Sequence[int]) -> list[tuple[str, Inputs]]:
    """Return training samples of a domain in each view of the first epoch, by the view's name."""
    seen = data.in_training_views(domain)
    looks = seen.look([Draw(index, 0) for index in indices])
    return [(view.name, inputs) for view, inputs in zip(seen.views, looks, strict=True)]


def _of_each_class(labels: Tensor) -> list[int]:
    """Return the indices of equally many samples of each class, each sample once, with a column for each of at most ten classes."""
    classes = sorted(set(labels.tolist()))
    columns = torch.linspace(0, len(classes) - 1, min(len(classes), COLUMNS)).long().tolist()
    rows = [(labels == classes[column]).nonzero()[:, 0] for column in columns]
    num_rows = min(ROWS, *map(len, rows))
    drawn = [found[torch.linspace(0, len(found) - 1, num_rows).long()].tolist() for found in rows]
    return [column[row] for row in range(num_rows) for column in drawn]
