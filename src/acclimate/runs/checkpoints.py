"""Checkpoints of runs: their locations, their contents, and the classifiers rebuilt from them."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from acclimate.config.check import check_component
from acclimate.config.identity import flat
from acclimate.config.instantiate import Component, instantiate
from acclimate.config.messages import show
from acclimate.config.method_options import declared_needs
from acclimate.config.untrusted import refuse_strangers
from acclimate.errors import ConfigError, command
from acclimate.inputs import InputSpec
from acclimate.models.classifier import Classifier
from acclimate.models.lora import merge_low_rank_updates
from acclimate.runs import checkpoint_files
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.record import METRICS
from acclimate.types import Needs

Checkpoint = dict[str, Any]


def read_origin(place: str | None, needs: Needs, trust: Collection[str] = ()) -> Checkpoint | None:
    """Read the checkpoint that a run starts from.

    Args:
        place: The value of `init_from`: the folder of a finished run, whose selected checkpoint is read, or a file; None for none.
        needs: Needs of the run's method.
        trust: As for `trusted_config`.

    Raises:
        ConfigError: If there is none, the run is not finished, its configuration is not trusted, see `trusted_config`, or the
            method cannot start from it, or needs one.
    """
    if place is None:
        if needs.source == "none":
            raise ConfigError("This method adapts a trained classifier without its source. Name the run that trained it: init_from=RUN.")
        return None
    if needs.pretrained_head:
        raise ConfigError(
            "This method starts from the head of a pretrained model, but the checkpoint of a run does not contain it. "
            "Leave out init_from, or use method=fine_tune."
        )
    path = Path(place)
    if not path.exists():
        raise ConfigError(f"There is no {path}. Give the folder of a finished run or a checkpoint: init_from=outputs/DATE/TIME-METHOD.")
    if path.is_dir() and checkpoint_files.exists(last_checkpoint(path)) and not (path / METRICS).exists():
        raise ConfigError(
            f"init_from={path} is not finished, so its checkpoint is not selected yet. Type {command('train', f'resume={path}')} first."
        )
    checkpoint = read_checkpoint(best_checkpoint(path) if path.is_dir() else path)
    trusted_config(checkpoint, trust)
    if needs.source == "none":
        refuse_untrained_head(checkpoint)
    return checkpoint


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint of a run, or the previous one if the file is damaged.

    The checkpoint may come from somebody else: pass it through `trusted_config` before building from its configuration.

    Raises:
        ConfigError: If there is none, or neither can be read.
    """
    return checkpoint_files.load(path)[0]


def trusted_config(checkpoint: Checkpoint, trust: Collection[str] = ()) -> dict[str, Any]:
    """Return the configuration of a checkpoint after checking that it contains only trusted targets.

    Args:
        checkpoint: A checkpoint from `read_checkpoint`.
        trust: Modules or full names of targets that are allowed in addition to `ALLOWED`.

    Raises:
        ConfigError: If it contains other targets.
    """
    return refuse_strangers(checkpoint["config"], "the checkpoint", trust)


def refuse_successor(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Check, before training, that a run can start from another one.

    Args:
        first: The configuration of the run that trains first.
        second: The configuration of the run that starts from it.

    Raises:
        ConfigError: If the second run cannot start from the first.
    """
    method, next_method = (config["method"]["_target_"].rpartition(".")[2] for config in (first, second))
    needs, next_needs = (declared_needs(config["method"]) for config in (first, second))
    if next_needs.pretrained_head:
        raise ConfigError(f"{next_method} starts from the head of a pretrained model, so it can only be the first stage.")
    if needs.is_self_supervised and next_needs.source == "none":
        raise ConfigError(f"{method} trains no head, but {next_method} needs one. Train one in between: method=source_only.")
    there, here = _different_settings(first["model"], second["model"])
    if there != here:
        raise ConfigError(f"The stages have models of different architectures. First: {there}. Second: {here}. Use the same for both.")


def rebuild_classifier(checkpoint: Checkpoint, trust: Collection[str] = ()) -> Classifier:
    """Rebuild the trained classifier of a checkpoint, in evaluation mode and with merged LoRA weights.

    Args:
        checkpoint: A checkpoint from `read_checkpoint`; no other file is needed.
        trust: As for `trusted_config`; only the model is built.

    Raises:
        ConfigError: If it was trained without labels, or its model is not trusted.
    """
    refuse_untrained_head(checkpoint)
    kind = kind_of(checkpoint, trust)
    model = Component(checkpoint["config"]["model"] | {"lora_rank": None})
    return restart(checkpoint, model, checkpoint["classes"], kind.spec).eval()


def kind_of(checkpoint: Checkpoint, trust: Collection[str] = ()) -> Any:
    """Return the kind of input that a checkpoint's model was trained on, an `acclimate.data.kind.Kind`.

    Args:
        checkpoint: A checkpoint from `read_checkpoint`.
        trust: As for `trusted_config`; the model is checked as well, so that the message lists everything to be trusted.

    Raises:
        ConfigError: If it or the model is not trusted, or it was trained by another version.
    """
    parts = {"model": checkpoint["config"].get("model"), "inputs": checkpoint.get("inputs")}
    node = refuse_strangers(parts, "the checkpoint", trust)["inputs"]
    if not (isinstance(node, dict) and "_target_" in node):
        raise ConfigError("The checkpoint does not say what its inputs are: it was written by another version. Train the run again.")
    check_component("inputs", node)
    return instantiate(node)


def restart(checkpoint: Checkpoint, model: Component, classes: list[str], inputs: InputSpec) -> Classifier:
    """Build a classifier with the weights of a checkpoint, without downloading the model's own pretrained weights.

    After self-supervised training the head is new, because the old one was not trained. The classifier counts as pretrained
    if the model would be pretrained without the checkpoint: continued training adds no new layers to old ones, which would
    be a reason for the backbone to learn more slowly.

    Args:
        checkpoint: A checkpoint from `read_checkpoint`.
        model: The model of the configuration.
        classes: Names of the classes of the data.
        inputs: Specification of the inputs.

    Raises:
        ConfigError: If the checkpoint has other classes or another architecture.
    """
    if classes != checkpoint["classes"]:
        raise ConfigError(f"The data has the classes {', '.join(classes)}, but the model knows {', '.join(checkpoint['classes'])}.")
    classifier: Classifier = model(num_classes=len(classes), inputs=inputs, weights=None, lora_rank=None)
    settings = model.node
    classifier.pretrained = settings.get("weights") not in (None, False)
    prefix = "classifier."
    tensors = {name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items() if name.startswith(prefix)}
    if checkpoint.get("self_supervised"):
        tensors |= {f"head.{name}": value for name, value in classifier.head.state_dict().items()}
    try:
        classifier.load_state_dict(merge_low_rank_updates(tensors))
    except RuntimeError as error:
        there, here = _different_settings(checkpoint["config"]["model"], settings)
        raise ConfigError(
            f"The checkpoint has another architecture than this run. There: {there}. Here: {here}. Choose the model of the checkpoint."
        ) from error
    if settings.get("lora_rank") is not None:
        classifier.add_low_rank_updates(settings["lora_rank"])
    return classifier


def refuse_untrained_head(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint without a trained head, and say how to train one.

    Raises:
        ConfigError: If the checkpoint was trained without labels.
    """
    if checkpoint.get("self_supervised"):
        method = checkpoint["config"]["method"]["_target_"].rpartition(".")[2]
        raise ConfigError(f"{method} has trained features without labels, and no head. Train one first: method=dann init_from=RUN.")


def _different_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[str, str]:
    """Return the architecture settings of each of two models that the other one does not share, as typed."""
    chosen_for_training = ("weights", "dropout", "lora_rank", "freeze")
    one, other = (
        {f"{key}={show(value)}" for key, value in flat(model, "model.").items() if key.rpartition(".")[2] not in chosen_for_training}
        for model in (first, second)
    )
    return " ".join(sorted(one - other)) or "the same settings", " ".join(sorted(other - one)) or "the same settings"
