"""Advice on whether to train the backbone, depending on the amount of data."""

import pytorch_lightning as pl

from acclimate.data.datamodule import AdaptationData
from acclimate.methods.base import Method

# Up to this number of labelled images, frozen features were as accurate as a trained backbone (see experiment=own_images).
FEW = 1000


def account_for_backbone(data: AdaptationData, method: Method, trainer: pl.Trainer) -> str | None:
    """Return a message for the console before training.

    Args:
        data: The data, prepared for the method.
        method: The method.
        trainer: The trainer of the run.

    Returns:
        A description of how the backbone is used, and the alternative; None if no alternative is likely to be better.
    """
    classifier = method.classifier
    num_inputs = sum(map(len, data.domains.in_part("train").values()))
    if data.frozen_backbone is not None and data.fixed_views is not None:
        return (
            f"The backbone is frozen (model.freeze=backbone): its features of {num_inputs} training inputs in {data.fixed_views} "
            "views are computed once, and every step trains only the layers after it. With thousands of images, or a GPU, "
            "also try model.freeze=none data.fixed_views=null."
        )
    num_labelled = len(data.domains.source.train) if data.domains.source is not None else 0
    adapts_any = method.needs.target and method.needs.source == "labelled" and method.needs.inputs == "any"
    slow = trainer.strategy.root_device.type == "cpu" and classifier.pretrained and not classifier.frozen
    if adapts_any and slow and classifier.lora_rank is None and 0 < num_labelled <= FEW:
        return (
            f"All layers of a pretrained backbone train on {num_labelled} labelled images, without a GPU. With so few images, its frozen "
            "features are usually as good, and training on them is many times faster: experiment=own_images, or model.freeze=backbone "
            "data.fixed_views=4 trainer.max_steps=600 trainer.check_val_every_n_epoch=null trainer.val_check_interval=40."
        )
    return None
