"""What can go wrong in a training, and the numbers that speak for it; no label of the target is read.

Each symptom is a function of the evidence that gives a message, or None where all is well. The messages name options of
`acclimate train`. What the thresholds are measured on: the default data with data.num_source=3000, 200 or 300 steps, seed 0.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from acclimate.extras.label_shift import target_class_weights
from acclimate.scores.ordering import nan_lowest

# Before, predictions mean little: few classes are then no sign of anything.
LEARNED_SOMETHING = 0.3
# As 0.5 is what guessing gets. The discriminators of dann, cdan, bsp and adda begin with 0.64 to 0.77 in the first tenth,
# when little works against them, and get 0.42 to 0.74 in any tenth after 0.3. With method.max_reversal=30 that of dann never
# gets above 0.50, and with method.max_reversal=0 it gets 0.90 to 0.96.
BLIND, SATURATED = 0.55, 0.9
# How many tenths of the training a discriminator must be blind or saturated for.
LONG = 3
SOURCE_FALL = 0.05
# Smallest total variation distance from the source between 0.1 and 0.5 of the training: 0.05 to 0.12 for dann, cdan, adda, mcc
# and source_only, and 0.24 to 0.36 for dann, mcc and source_only with 'data.target_classes=[0,1,2,3,4]', where 0.5 is the truth.
LABEL_SHIFT = 0.2


class Validation(NamedTuple):
    """What is remembered of a validation, in plain numbers that checkpoints can hold.

    Attributes:
        progress: When it was, in [0, 1].
        source_accuracy: On the source's validation images.
        target_proportions: Estimates of how frequent the classes are in the target; empty without a target, or if
            predictions were not finite.
    """

    progress: float
    source_accuracy: float
    target_proportions: list[float]


class Evidence(NamedTuple):
    """What a training is judged by after a validation.

    Attributes:
        progress: How much of the training is done, in [0, 1]; 1 at an early end, too.
        classes: K names.
        source_counts: Validation images of each class of the source, shape (K,); None without a source.
        target_counts: Validation images of the target that are taken for each class, shape (K,); None without a target.
        history: All validations so far, this one included.
        domain_accuracies: How often the discriminator was right in training batches, for each tenth of the training from the
            start; empty for a method that has none.
    """

    progress: float
    classes: list[str]
    source_counts: Tensor | None
    target_counts: Tensor | None
    history: list[Validation]
    domain_accuracies: list[float]


def prediction_collapse(evidence: Evidence) -> str | None:
    """Fewer classes are predicted on the target than the cube root of what the source has: a third of its entropy.

    Classes are counted by the exponential of the entropy of their proportions, so that rare ones count less. A sample of
    N images from the source would have about (K - 1) / (2 N) less entropy, which is allowed for (Miller, "Note on the Bias
    of Information Estimates", 1955). Without a source all classes should be equally frequent.
    """
    counts = evidence.target_counts
    if counts is None or evidence.progress < LEARNED_SOMETHING:
        return None
    source_counts = torch.ones(len(counts)) if evidence.source_counts is None else evidence.source_counts
    num_images, source_entropy, entropy = int(counts.sum()), _entropy(source_counts), _entropy(counts)
    if entropy >= (source_entropy - (len(counts) - 1) / (2 * num_images)) / 3:
        return None
    most = int(counts.argmax())
    return (
        f"Prediction collapse: {counts[most] / num_images:.0%} of the {num_images} validation images of the target are taken for "
        f"{evidence.classes[most]}, and predictions are as diverse as {math.exp(entropy):.1f} equally frequent classes; the source "
        f"has {math.exp(source_entropy):.1f}. Unless the target really is like that, try a gentler training (optimizer.lr=0.0003) or "
        "alignment (method.max_reversal=0.1; for adda method.adversarial_weight=0.1), or reward diverse predictions "
        "(+terms=information_maximisation or +terms=bnm)."
    )


def blind_discriminator(evidence: Evidence) -> str | None:
    """The discriminator has been no better than guessing since the start.

    Later it is what alignment aims at: a discriminator that told the domains apart at first and then cannot is a success.
    """
    accuracies = evidence.domain_accuracies
    if len(accuracies) < LONG or max(accuracies) > BLIND:
        return None
    return (
        f"Blind discriminator: in no tenth of the training so far was it right in more than {max(accuracies):.0%} of the images, "
        "where guessing gets 50%. It has never told the domains apart, so the features learn nothing from it. Try a gentler "
        "alignment (method.max_reversal=0.1, method.steepness=5) or a wider discriminator (method.discriminator_width=1024). If that "
        "changes nothing, the domains may be alike already: compare with method=source_only."
    )


def saturated_discriminator(evidence: Evidence) -> str | None:
    """The discriminator tells the domains apart for long, after the start: the features do not give way.

    In the first three tenths it may, because what works against it is still growing.
    """
    latest = evidence.domain_accuracies[LONG:][-LONG:]
    if len(latest) < LONG or min(latest) < SATURATED:
        return None
    return (
        f"Saturated discriminator: for three tenths of the training it has been right in at least {min(latest):.0%} of the images, "
        "where guessing gets 50%. The domains stay apart, and its gradient fades. Try a stronger alignment (method.max_reversal=3; for "
        "adda method.adversarial_weight=3), a narrower discriminator (method.discriminator_width=64), or a method without one "
        "(method=dan, method=mcc)."
    )


def falling_source_accuracy(evidence: Evidence) -> str | None:
    """In the last two validations the source's accuracy was well below an earlier one, and it does not recover.

    Well below is by five points, and by three standard errors where there are few images. A fall that ends is none: with mdd
    the source's accuracy goes from 0.99 to 0.81 and back while the reversal grows.
    """
    if evidence.source_counts is None or len(evidence.history) < 3:
        return None
    best = max(evidence.history[:-2], key=lambda validation: nan_lowest(validation.source_accuracy))
    before, now = (validation.source_accuracy for validation in evidence.history[-2:])
    standard_error = math.sqrt(before * (1 - before) / int(evidence.source_counts.sum()))
    if now > before or best.source_accuracy - before < max(SOURCE_FALL, 3 * standard_error):
        return None
    return (
        f"Source accuracy falls: at most {before:.1%} of the {int(evidence.source_counts.sum())} validation images in the last two "
        f"validations, after {best.source_accuracy:.1%} at {best.progress:.0%} of the training. What is added to the task's loss may "
        "outweigh it, or steps are too large. Try a gentler alignment (method.max_reversal=0.1; for adda "
        "method.adversarial_weight=0.1), optimizer.lr=0.0003 or trainer.gradient_clip_val=1."
    )


def label_shift(evidence: Evidence) -> str | None:
    """The estimated proportions of the classes in the target are far from the source's.

    They must be far in every validation from a tenth of the training on, when predictions begin to mean something, to half
    of it: later, alignment has made the predictions look like the source's, also where that is wrong. Far is beyond a
    threshold and beyond twice what two samples of one distribution are expected to differ by.
    """
    if evidence.source_counts is None or evidence.target_counts is None or evidence.progress < 0.5:
        return None
    known = [validation for validation in evidence.history if validation.target_proportions]
    window = [validation for validation in known if 0.1 <= validation.progress <= 0.5] or known[-1:]
    targets = torch.tensor([validation.target_proportions for validation in window], dtype=torch.float64)
    num_source, num_target = float(evidence.source_counts.sum()), float(evidence.target_counts.sum())
    source = evidence.source_counts.double() / num_source
    distance, target = float(0.5 * (targets - source).abs().sum(dim=1).min()), targets.mean(dim=0)
    # The mean absolute value of a normal variable is √(2 / π) of its deviation.
    by_chance = float(0.5 * (2 / math.pi * source * (1 - source) * (1 / num_source + 1 / num_target)).sqrt().sum())
    if distance < max(LABEL_SHIFT, 2 * by_chance):
        return None
    most = (target - source).abs().topk(min(3, len(source))).indices.tolist()
    examples = ", ".join(f"{evidence.classes[number]} from {source[number]:.0%} to {target[number]:.0%}" for number in most)
    return (
        f"Label shift: the classes seem to have other proportions in the target, with a total variation distance of {distance:.2f} "
        f"or more from the source ({max(LABEL_SHIFT, 2 * by_chance):.2f} and less may be chance): {examples}. It is estimated from the "
        "predictions, so it may also be the shift of the images that makes these wrong. Alignment can do harm then. Try "
        "method.target_class_weights=estimated, and compare with method=source_only."
    )


def estimated_proportions(confusion: Tensor, target_counts: Tensor) -> Tensor:
    """How frequent the classes are in the target: black-box shift estimation, see `target_class_weights`.

    Args:
        confusion: Counts of source images, true classes in rows, shape (K, K).
        target_counts: Target images that are taken for each class, shape (K,).

    Returns:
        Shape (K,), with the sum 1, in float64.

    >>> estimated_proportions(torch.tensor([[90, 10], [20, 80]]), torch.tensor([34, 66])).round(decimals=2)
    tensor([0.2000, 0.8000], dtype=torch.float64)
    """
    counts = confusion.sum(dim=1).double()
    source = counts / counts.sum()
    given = (confusion.double() / counts.clamp_min(1).unsqueeze(1)).T
    return source * target_class_weights(given, source, target_counts.double() / target_counts.sum())


def _entropy(counts: Tensor) -> float:
    """In nats, of proportions that are given as counts."""
    return float(torch.special.entr(counts.double() / counts.sum()).sum())


SYMPTOMS: tuple[Callable[[Evidence], str | None], ...] = (
    prediction_collapse,
    blind_discriminator,
    saturated_discriminator,
    falling_source_accuracy,
    label_shift,
)
