"""Contradictions between data, method, selection and trainer."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from pytorch_lightning.strategies import ParallelStrategy
from torch import nn

from acclimate.config.messages import show
from acclimate.data.datamodule import AdaptationData
from acclimate.errors import ConfigError
from acclimate.extras.soft_labels import SoftLabels
from acclimate.inputs import ImageSpec
from acclimate.methods.base import Method
from acclimate.models.batch_norm import adaptable_batch_norms
from acclimate.selection.checkpoint_selection import Selection
from acclimate.types import Part

# Up to this size, batches may repeat the inputs of a small domain, for example of only 20; larger ones only cost time.
_USUAL_BATCH = 256


def refuse_contradictions(data: AdaptationData, method: Method, selection: Selection) -> None:
    """Check that parts that are valid by themselves fit together.

    Raises:
        ConfigError: With the first contradiction.
    """
    if method.needs.is_self_supervised and selection.score is not None and selection.score.needs_head:
        raise ConfigError("The selection needs predictions, but this method trains no head. Use selection=last or selection=rankme.")
    if data.target_labels_per_class is not None and not method.needs.target_labels:
        raise ConfigError(
            f"data.target_labels_per_class={data.target_labels_per_class}, but this method trains without any labels. "
            "Leave the key null, or choose another method, such as method=shot."
        )
    if _balances_classes(method) and data.source_sampling == "balanced":
        raise ConfigError(
            "method.class_weights=balanced and data.source_sampling=balanced would both compensate for rare classes. "
            "Set data.source_sampling=natural, or method.class_weights=none."
        )
    if selection.needs_target and data.domains.target is None:
        raise ConfigError(f"selection={selection.name} needs target inputs, but data.target is null. Use selection=source_accuracy.")
    if data.domains.source is None and selection.score is not None and selection.score.needs_source:
        raise ConfigError(f"selection={selection.name} needs source inputs, but this method uses none. Use selection=auto.")
    sizes = {"batch_size": data.batch_size, **({"target_batch_size": data.target_batch_size} if method.needs.target else {})}
    if method.needs.source == "none" and data.batch_size != data.target_batch_size:
        # Without a source, it is only the default of the other one.
        del sizes["batch_size"]
    key = min(sizes, key=lambda name: sizes[name])
    fewest = max(method.needs.fewest_inputs, 2 if _normalises_vectors(method) else 1)
    if sizes[key] < fewest:
        raise ConfigError(f"data.{key}={sizes[key]} is too small for this method or this model. Use data.{key}={fewest} or more.")
    if method.needs.inputs == "images" and not isinstance(data.input_spec(), ImageSpec):
        raise ConfigError(f"This method, or method.cutmix, needs images, but the data contains {data.input_spec().noun}. Choose another.")
    if method.needs.inputs == "mixable" and not data.input_spec().can_be_mixed:
        raise ConfigError(f"method.mixup mixes inputs, but {data.input_spec().noun} cannot be mixed. Set method.mixup=0.")
    if method.needs.target and data.domains.target is None:
        raise ConfigError(
            "This method adapts to a target, but data.target is null. Name the target (data.target=PLACE), "
            "or choose a method that uses only the source: method=fine_tune or method=linear_probe."
        )
    if selection.is_oracle and not data.target_labels.known("val"):
        raise ConfigError("selection=oracle needs labels in the target's validation part, but there are none. Use selection=auto.")
    if method.needs.is_self_supervised and data.source_sampling == "balanced":
        raise ConfigError("data.source_sampling=balanced needs labels, but this method trains without any. Leave it out.")


def refuse_same_domains(data: AdaptationData, method: Method) -> None:
    """Check before training that there is something to adapt to; a source with few labels may be its own unlabelled target.

    Raises:
        ConfigError: If a source and a target are the same file or folder.
    """
    few_labels = data.source_labels_per_class is not None or method.needs.is_self_supervised
    if data.domains.source is None or few_labels or not method.needs.target:
        return
    source, target = _paths_of(data, "source"), _paths_of(data, "target")
    shared = source & target
    if shared and len(source) == len(target) == 1:
        raise ConfigError(
            f"data.source and data.target are both {shared.pop()}, so there is nothing to adapt to. Name another target, or train "
            "without one: data.target=null method=fine_tune. To train on a few labels and all samples, add data.source_labels_per_class=10."
        )
    if shared:
        raise ConfigError(f"data.source and data.target both name {min(shared)}. Leave it out of one of them.")


def _paths_of(data: AdaptationData, domain: str) -> set[Path]:
    """Return the files or folders of a domain, as far as a data set has them."""
    places = getattr(data, domain, None)
    paths = [places] if isinstance(places, Path) else [place.path for place in places] if isinstance(places, list) else []
    return {path.resolve() for path in paths}


def _normalises_vectors(method: Method) -> bool:
    """Return True if batch norm needs several inputs; maps of images have several values of each channel."""
    layers = [] if method.batch_norm == "frozen" else adaptable_batch_norms(method.classifier)
    return any(not isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d) for layer in layers)


def _balances_classes(method: Method) -> bool:
    """Return True if class weights compensate for rare classes."""
    return any(isinstance(extra, SoftLabels) and extra.is_balanced for extra in method.extras.by_name.values())


def refuse_idle_training(data: AdaptationData, method: Method, trainer: pl.Trainer, best: Path) -> None:
    """Check that a training is validated, selected, tested and given data as its keys say.

    Args:
        data: The data, after reading it.
        method: The method.
        trainer: The trainer with its callbacks.
        best: Path of the selected checkpoint.

    Raises:
        ConfigError: With the first wrong key.
    """
    if isinstance(trainer.strategy, ParallelStrategy) and not any(parameter.requires_grad for parameter in method.parameters()):
        raise ConfigError("This method trains no weights, so several devices are of no use. Use trainer=gpu or trainer=cpu.")
    _refuse_frozen_backbone(method)
    _refuse_repetitive_batches(data, method)
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every is not None and epochs is not None and 0 < epochs < every:
        raise ConfigError(
            f"trainer.check_val_every_n_epoch={every} validates after the last epoch, trainer.max_epochs={epochs}, so there would be "
            f"no checkpoint to select. Use trainer.check_val_every_n_epoch={epochs} or less."
        )
    shares: dict[Part, int | float | None] = {"val": trainer.limit_val_batches, "test": trainer.limit_test_batches}
    for part, share in shares.items():
        for name, samples in data.domains.in_part(part).items():
            batches = -(-len(samples) // data.eval_batch_size)
            if isinstance(share, float) and batches and int(batches * share) == 0:
                raise ConfigError(
                    f"trainer.limit_{part}_batches={share} leaves nothing of the {name}, whose {part} part has only {batches} batches of "
                    f"data.eval_batch_size={data.eval_batch_size}. Type trainer.limit_{part}_batches=1 for one batch, or leave the key out."
                )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ModelCheckpoint | EarlyStopping):
            _refuse_other_selection(callback, best)


def _refuse_frozen_backbone(method: Method) -> None:
    """Refuse settings of how the backbone trains if it is frozen: without effect, they would pass for another method in comparisons."""
    classifier = method.classifier
    if not classifier.frozen:
        return
    unfrozen = "model.freeze=none data.fixed_views=null"
    if method.backbone_rate > 0 and not classifier.trains_features:
        raise ConfigError(
            "This method trains the backbone, but model.freeze=backbone freezes it, so that only the head would train. "
            f"To train the backbone, type {unfrozen}. To train only the head, type method=linear_probe."
        )
    for key, value in {"model.lora_rank": classifier.lora_rank, "method.layer_decay": method.layer_decay}.items():
        if value is not None:
            raise ConfigError(
                f"{key}={value} trains the backbone, but it is frozen. Type {key}=null, or train it: {unfrozen}, and not with a method "
                "that freezes it, such as linear_probe."
            )


def _refuse_repetitive_batches(data: AdaptationData, method: Method) -> None:
    domains = [("batch_size", "source", data.domains.source, data.batch_size)]
    if method.needs.target:
        domains.append(("target_batch_size", "target", data.domains.target, data.target_batch_size))
    for key, name, domain, size in domains:
        if domain is not None and size > max(len(domain.train), _USUAL_BATCH):
            raise ConfigError(
                f"data.{key}={size} is more than the {len(domain.train)} training inputs of the {name}, which would be repeated in "
                f"every batch. Use data.{key}={max(len(domain.train), method.needs.fewest_inputs)} or less."
            )


def _refuse_other_selection(callback: ModelCheckpoint | EarlyStopping, best: Path) -> None:
    """Refuse a callback that prefers lower values, or that saves a checkpoint with another selection as the selected one."""
    name = type(callback).__name__
    if callback.monitor == "selection/value" and callback.mode == "min":
        raise ConfigError(
            f"{name} of callbacks has mode=min, but the larger selection/value is, the better. Set its key mode=max, "
            "such as callbacks.checkpoint.mode=max."
        )
    if isinstance(callback, ModelCheckpoint) and Path(callback.dirpath or ".", callback.filename or "") == best.resolve().with_suffix(""):
        if callback.monitor != "selection/value":
            kept = "the last checkpoint instead of" if callback.monitor is None else "another checkpoint than"
            raise ConfigError(
                f"callbacks.checkpoint.monitor={show(callback.monitor)} would keep {kept} the selected one. "
                "Leave the key out, and choose how checkpoints are selected with selection=NAME."
            )
        if callback.save_top_k != 1:
            raise ConfigError(
                f"callbacks.checkpoint.save_top_k={callback.save_top_k} would write several checkpoints to one file. "
                "Leave the key out, or add a ModelCheckpoint under another name, with its own filename."
            )
