"""Detection of common problems in training without target labels.

Each detector is a function of the evidence that returns a message, or None if it finds no problem. The messages name options
of `acclimate train`. The thresholds were measured on the default data with data.num_source=3000, 200 or 300 steps, seed 0.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from acclimate.extras.label_shift import target_class_weights
from acclimate.scores.ordering import nan_lowest

# Earlier in training, predictions are unreliable, so few predicted classes do not indicate a problem.
LEARNED_SOMETHING = 0.3
# Chance level is 0.5. The discriminators of dann, cdan, bsp and adda reach 0.64 to 0.77 in the first tenth, while little works
# against them, and 0.42 to 0.74 in any tenth after 0.3. With method.max_reversal=30, that of dann never exceeds 0.50, and with
# method.max_reversal=0 it reaches 0.90 to 0.96.
BLIND, SATURATED = 0.55, 0.9
# Number of tenths of the training for which a discriminator must be blind or saturated.
LONG = 3
SOURCE_FALL = 0.05
# Smallest total variation distance from the source between 0.1 and 0.5 of the training: 0.05 to 0.12 for dann, cdan, adda, mcc
# and source_only; 0.24 to 0.36 for dann, mcc and source_only with 'data.target_classes=[0,1,2,3,4]', for which it is truly 0.5.
LABEL_SHIFT = 0.2


class Validation(NamedTuple):
    """Summary of a validation, in plain numbers that can be stored in checkpoints.

    Attributes:
        progress: Progress of the training, in [0, 1].
        source_accuracy: Accuracy on the source's validation inputs.
        target_proportions: Estimated proportions of the classes in the target; empty without a target, or if predictions
            were not finite.
    """

    progress: float
    source_accuracy: float
    target_proportions: list[float]


class Evidence(NamedTuple):
    """Evidence about a training after a validation.

    Attributes:
        progress: Progress of the training, in [0, 1]; 1 also if it ends early.
        classes: Names of the K classes.
        source_counts: Number of the source's validation inputs of each class, shape (K,); None without a source.
        target_counts: Number of the target's validation inputs predicted as each class, shape (K,); None without a target.
        history: All validations so far, including this one.
        domain_accuracies: Accuracy of the discriminator on training batches, for each tenth of the training from the start;
            empty for a method without a discriminator.
    """

    progress: float
    classes: list[str]
    source_counts: Tensor | None
    target_counts: Tensor | None
    history: list[Validation]
    domain_accuracies: list[float]


def prediction_collapse(evidence: Evidence) -> str | None:
    """Detect predictions on the target with less than a third of the entropy of the source's class proportions.

    The entropy counts classes by their frequency, so rare ones count less. A sample of N inputs from the source would have
    about (K - 1) / (2 N) less entropy, which is taken into account (Miller, "Note on the Bias of Information Estimates",
    1955). Without a source, all classes are expected to be equally frequent.
    """
    counts = evidence.target_counts
    if counts is None or evidence.progress < LEARNED_SOMETHING:
        return None
    source_counts = torch.ones(len(counts)) if evidence.source_counts is None else evidence.source_counts
    num_inputs, source_entropy, entropy = int(counts.sum()), float(class_entropy(source_counts)), float(class_entropy(counts))
    if entropy >= (source_entropy - (len(counts) - 1) / (2 * num_inputs)) / 3:
        return None
    most = int(counts.argmax())
    return (
        f"Prediction collapse: {counts[most] / num_inputs:.0%} of the {num_inputs} validation inputs of the target are predicted as "
        f"{evidence.classes[most]}, and predictions are as diverse as {math.exp(entropy):.1f} equally frequent classes; the source "
        f"has {math.exp(source_entropy):.1f}. Unless the target really is like that, try a lower learning rate (optimizer.lr=0.0003) "
        "or a weaker alignment (method.max_reversal=0.1; for adda method.adversarial_weight=0.1), or reward diverse predictions "
        "(+terms=information_maximisation or +terms=bnm)."
    )


def blind_discriminator(evidence: Evidence) -> str | None:
    """Detect a discriminator that has been at chance level since the start.

    A discriminator that is at chance level only later is no problem: this is the aim of the alignment.
    """
    accuracies = evidence.domain_accuracies
    if len(accuracies) < LONG or max(accuracies) > BLIND:
        return None
    return (
        f"Blind discriminator: its accuracy has not exceeded {max(accuracies):.0%} in any tenth of the training so far, and chance "
        "level is 50%. It has never told the domains apart, so the features learn nothing from it. Try a weaker alignment "
        "(method.max_reversal=0.1, method.steepness=5) or a wider discriminator (method.discriminator_width=1024). If that does not "
        "help, the domains may already be alike: compare with method=source_only."
    )


def saturated_discriminator(evidence: Evidence) -> str | None:
    """Detect a discriminator that has told the domains apart for a long time: the features do not adapt.

    The first three tenths of the training do not count, because the reversal is still growing.
    """
    latest = evidence.domain_accuracies[LONG:][-LONG:]
    if len(latest) < LONG or min(latest) < SATURATED:
        return None
    return (
        f"Saturated discriminator: for three tenths of the training its accuracy has been at least {min(latest):.0%}, and chance level "
        "is 50%. The domains stay apart, and its gradient vanishes. Try a stronger alignment (method.max_reversal=3; for "
        "adda method.adversarial_weight=3), a narrower discriminator (method.discriminator_width=64), or a method without one "
        "(method=dan, method=mcc)."
    )


def falling_source_accuracy(evidence: Evidence) -> str | None:
    """Detect a source accuracy that was well below an earlier one in the last two validations, without recovering.

    Well below means by five points and by three standard errors. A temporary fall does not count: with mdd, the source's
    accuracy goes from 0.99 to 0.81 and back while the reversal grows.
    """
    if evidence.source_counts is None or len(evidence.history) < 3:
        return None
    best = max(evidence.history[:-2], key=lambda validation: nan_lowest(validation.source_accuracy))
    before, now = (validation.source_accuracy for validation in evidence.history[-2:])
    standard_error = math.sqrt(before * (1 - before) / int(evidence.source_counts.sum()))
    if now > before or best.source_accuracy - before < max(SOURCE_FALL, 3 * standard_error):
        return None
    return (
        f"Source accuracy falls: at most {before:.1%} of the {int(evidence.source_counts.sum())} validation inputs in the last two "
        f"validations, after {best.source_accuracy:.1%} at {best.progress:.0%} of the training. Other losses may outweigh the "
        "classification loss, or the steps are too large. Try a weaker alignment (method.max_reversal=0.1; for adda "
        "method.adversarial_weight=0.1), optimizer.lr=0.0003 or trainer.gradient_clip_val=1."
    )


def label_shift(evidence: Evidence) -> str | None:
    """Detect estimated class proportions in the target that are far from the source's.

    They must be far in every validation from a tenth of the training, when predictions become informative, to half of it:
    later, alignment has made the predictions similar to the source's, even if that is wrong. Far means above a threshold
    and above twice the expected difference between two samples of one distribution.
    """
    if evidence.source_counts is None or evidence.target_counts is None or evidence.progress < 0.5:
        return None
    known = [validation for validation in evidence.history if validation.target_proportions]
    window = [validation for validation in known if 0.1 <= validation.progress <= 0.5] or known[-1:]
    targets = torch.tensor([validation.target_proportions for validation in window], dtype=torch.float64)
    num_source, num_target = float(evidence.source_counts.sum()), float(evidence.target_counts.sum())
    source = evidence.source_counts.double() / num_source
    distance, target = float(0.5 * (targets - source).abs().sum(dim=1).min()), targets.mean(dim=0)
    # The mean absolute value of a normal variable is √(2 / π) times its standard deviation.
    by_chance = float(0.5 * (2 / math.pi * source * (1 - source) * (1 / num_source + 1 / num_target)).sqrt().sum())
    if distance < max(LABEL_SHIFT, 2 * by_chance):
        return None
    most = (target - source).abs().topk(min(3, len(source))).indices.tolist()
    examples = ", ".join(f"{evidence.classes[number]} from {source[number]:.0%} to {target[number]:.0%}" for number in most)
    return (
        f"Label shift: the classes seem to have other proportions in the target, with a total variation distance of {distance:.2f} "
        f"or more from the source ({max(LABEL_SHIFT, 2 * by_chance):.2f} and less may be chance): {examples}. This is estimated from "
        "predictions, which may also be wrong because the inputs have shifted. Alignment can do harm then. Try "
        "method.target_class_weights=estimated, and compare with method=source_only."
    )


def estimated_proportions(confusion: Tensor, target_counts: Tensor) -> Tensor:
    """Estimate the class proportions of the target by black-box shift estimation, see `target_class_weights`.

    Args:
        confusion: Counts of source inputs, true classes in rows, shape (K, K).
        target_counts: Counts of target inputs predicted as each class, shape (K,).

    Returns:
        Shape (K,), with the sum 1, in float64.

    >>> estimated_proportions(torch.tensor([[90, 10], [20, 80]]), torch.tensor([34, 66])).round(decimals=2)
    tensor([0.2000, 0.8000], dtype=torch.float64)
    """
    counts = confusion.sum(dim=1).double()
    source = counts / counts.sum()
    given = (confusion.double() / counts.clamp_min(1).unsqueeze(1)).T
    return source * target_class_weights(given, source, target_counts.double() / target_counts.sum())


def class_entropy(counts: Tensor) -> Tensor:
    """Return the entropy, in nats, of class proportions given as counts, shape (K,), as a scalar in float64.

    >>> class_entropy(torch.tensor([5, 5, 0])) / math.log(2)
    tensor(1., dtype=torch.float64)
    """
    entropy: Tensor = torch.special.entr(counts.double() / counts.sum()).sum()
    return entropy


SYMPTOMS: tuple[Callable[[Evidence], str | None], ...] = (
    prediction_collapse,
    blind_discriminator,
    saturated_discriminator,
    falling_source_accuracy,
    label_shift,
)
