"""The keys of `method` that every method accepts."""

from collections.abc import Mapping, Sequence
from typing import Literal

from acclimate.errors import ConfigError
from acclimate.extras.extra import Extra, Extras
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
    """Build the extras of a configuration, in the order in which they change a batch.

    Args:
        num_classes: K, the number of classes.
        terms: Additional losses on the target's predictions by name, such as minimum class confusion, see `TargetTerms`.
        term_weights: Weight of each term by its name; 1 if not given.
        target_class_weights: `estimated` resamples source batches to the estimated class proportions of the target, for all
            losses, see `ClassProportions`; `none` leaves the batches unchanged.
        target_class_weights_from: Progress at which resampling starts, in [0, 1].
        mixup: α of Mixup on source inputs, see `SoftLabels`; 0 disables it. Published choices are 0.2 to 0.4 on ImageNet and
            1 on CIFAR. All losses use the mixed inputs, so alignment losses align the target with them.
        cutmix: α of CutMix on source images; 0 disables it. The published choice is 1.
        label_smoothing: Share of a source label that is spread over all classes, in [0, 1); often 0.1.
        class_weights: Weight of the inputs of each source class, in the order of the classes; `balanced` gives all classes
            equal weight, `none` all inputs. Only their proportions matter, as in torch's `cross_entropy(weight=...)`.
        extras: Your own extras by name, which come last.

    Raises:
        ConfigError: If options contradict each other, or one of your own has a name that is taken.
    """
    soft_labels = SoftLabels(num_classes, mixup=mixup, cutmix=cutmix, smoothing=label_smoothing, class_weights=class_weights)
    target_terms = TargetTerms(terms or {}, term_weights or {})
    found: dict[str, Extra] = {}
    if target_class_weights == "estimated":
        if soft_labels.mix is not None or soft_labels.has_weights:
            raise ConfigError(
                "method.target_class_weights=estimated needs inputs of a single class each, and weights the classes itself. "
                "Leave it out, or method.mixup, cutmix and class_weights."
            )
        found["class_proportions"] = ClassProportions(num_classes, start=target_class_weights_from)
    if soft_labels.changes_labels:
        found["soft_labels"] = soft_labels
    if target_terms.terms:
        found["terms"] = target_terms
    own = dict(extras or {})
    for name in own:
        if name in found or hasattr(Extras, name):
            raise ConfigError(f"method.extras.{name} has a name that is taken. Choose another one, such as method.extras.my_{name}.")
    return found | own
