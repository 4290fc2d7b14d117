"""What data, a method and a selection that are each in order cannot have together."""

from acclimate.callbacks.selection import Selection
from acclimate.data.datamodule import AdaptationData
from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.nn.batch_norm import batch_norms


def refuse_contradictions(data: AdaptationData, method: Method, selection: Selection) -> None:
    """Looks at what parts that are each in order ask of each other.

    Raises:
        ConfigError: With the first that does not go together.
    """
    if method.self_supervised and selection.score is not None and selection.score.needs_head:
        raise ConfigError(
            "The selection looks at predictions, but this method trains no head that could make them. "
            "Use selection=last or selection=rankme."
        )
    if data.target_labels_per_class is not None and not method.takes_target_labels:
        raise ConfigError(
            f"data.target_labels_per_class={data.target_labels_per_class}, but this method trains without any labels. "
            "Leave the key null, or choose another method, such as method=shot."
        )
    if method.soft_labels.is_balanced and data.source_sampling == "balanced":
        raise ConfigError(
            "method.class_weights=balanced and data.source_sampling=balanced would both make up for rare classes. "
            "Set data.source_sampling=natural, or method.class_weights=none."
        )
    if selection.needs_target and data.domains.target is None:
        raise ConfigError(f"selection={selection.name} looks at target images, but data.target is null. Use selection=source_accuracy.")
    if data.domains.source is None and selection.score is not None and selection.score.needs_source:
        raise ConfigError(f"selection={selection.name} looks at source images, but this method is given none. Use selection=auto.")
    sizes = {"batch_size": data.batch_size, **({"target_batch_size": data.target_batch_size} if method.needs_target else {})}
    key = min(sizes, key=lambda name: sizes[name])
    normalises = method.batch_norm != "frozen" and batch_norms(method.classifier.bottleneck)
    fewest = max(method.fewest_images, 2 if normalises else 1)
    if sizes[key] < fewest:
        raise ConfigError(
            f"data.{key}={sizes[key]} is too few images at a time for this method or this model. Use data.{key}={fewest} or more."
        )
    backbone = method.classifier.backbone
    if backbone.has_fixed_size and data.image_size not in (None, backbone.image_size):
        raise ConfigError(
            f"The model takes images of {backbone.image_size} pixels only, but data.image_size is {data.image_size}. Leave the key out."
        )
    if method.needs_target and data.domains.target is None:
        raise ConfigError(
            "This method adapts to a target, but data.target is null. Name a folder of target images (data.target=DIR), "
            "or choose a method for the source alone: method=fine_tune or method=linear_probe."
        )
    if selection.is_oracle and not data.target_labels.known("val"):
        raise ConfigError("selection=oracle needs labels in the target's validation part, and there are none. Use selection=auto.")
    if method.self_supervised and data.source_sampling == "balanced":
        raise ConfigError("data.source_sampling=balanced looks at labels, but this method trains without any. Leave it out.")
