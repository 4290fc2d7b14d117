"""The keys of `method` that belong to no method: options of all of them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from acclimate.errors import ConfigError
from acclimate.extras.extra import Extra
from acclimate.extras.label_shift import ClassProportions
from acclimate.extras.soft_labels import SoftLabels
from acclimate.extras.terms import TargetTerm, TargetTerms
from acclimate.ranges import NonNegative, Share, ShareBelowOne


def make_extras(
    num_classes: int,
    *,
    terms: Mapping[str, TargetTerm] | None = None,
    term_weights: Mapping[str, float] | None = None,
    target_class_weights: Literal["none", "estimated"] = "none",
    target_class_weights_from: Share = 0.1,
    mixup: NonNegative = 0.0,
    cutmix: NonNegative = 0.0,
    label_smoothing: ShareBelowOne = 0.0,
    class_weights: Literal["none", "balanced"] | Sequence[NonNegative] = "none",
    extras: Mapping[str, Extra] | None = None,
) -> dict[str, Extra]:
    """Return the extras that a configuration asks for, in the order in which they change a batch.

    Args:
        num_classes: K.
        terms: Further losses by name on the target's predictions, such as minimum class confusion, see `TargetTerms`.
        term_weights: What each term is multiplied with; 1 where it is not named.
        target_class_weights: `estimated` draws the rows of source batches anew so that classes are as frequent as they
            seem to be in the target, for every loss, see `ClassProportions`; `none` takes the batches as they are.
        target_class_weights_from: The progress from which on it does, in [0, 1].
        mixup: Above 0, Mixup of source inputs with this α, see `SoftLabels`; published choices are 0.2 to 0.4 on ImageNet and
            1 on CIFAR. All losses see the mixed inputs: what aligns the domains aligns the target with them.
        cutmix: Above 0, CutMix of source images with this α; the published choice is 1.
        label_smoothing: The share of a source label that is spread over all classes, in [0, 1); often 0.1.
        class_weights: How much an input of each class of the source counts, in the order of the classes; `balanced`: all
            classes alike; `none`: all inputs alike. Only their proportions matter, as in torch's `cross_entropy(weight=...)`.
        extras: Extras of your own by name, which come last.

    Raises:
        ConfigError: If options contradict each other.
    """
    soft_labels = SoftLabels(num_classes, mixup=mixup, cutmix=cutmix, smoothing=label_smoothing, class_weights=class_weights)
    target_terms = TargetTerms(terms or {}, term_weights or {})
    found: dict[str, Extra] = {}
    if target_class_weights == "estimated":
        if soft_labels.mix is not None or soft_labels.has_weights:
            raise ConfigError(
                "method.target_class_weights=estimated learns from images of one class how much each class should count. "
                "Leave it out, or method.mixup, cutmix and class_weights."
            )
        found["class_proportions"] = ClassProportions(num_classes, start=target_class_weights_from)
    if soft_labels.changes_labels:
        found["soft_labels"] = soft_labels
    if target_terms.terms:
        found["terms"] = target_terms
    return found | dict(extras or {})
