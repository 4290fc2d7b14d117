"""Batches for a GPU lie in memory that can be pinned: no two elements share a place."""

import torch

from acclimate.data.images.arrays import Arrays
from acclimate.inputs import ImageSpec
from acclimate.types import DomainBatch, Needs


def test_batches_of_grey_images_can_be_pinned(monkeypatch, archives):
    named = dict(word.removeprefix("data.").split("=") for word in archives[1:])
    data = Arrays(**named, batch_size=4)
    data.prepare_for(spec=ImageSpec(16), needs=Needs(), reveal_target_labels=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for loader in [data.train_dataloader()._loader, *data.val_dataloader(), *data.test_dataloader()]:
        assert loader.pin_memory
        batch = loader.collate_fn(loader.dataset[0])
        images = [batch.source.inputs, *batch.target.views] if isinstance(batch, DomainBatch) else [batch[0]]
        assert all(0 not in image.stride() for given in images for image in (given if isinstance(given, list) else [given]))
