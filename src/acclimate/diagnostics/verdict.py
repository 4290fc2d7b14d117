"""The verdict on a finished run in plain words, from signs that need no target labels."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from acclimate.diagnostics.training_problems import Evidence, class_entropy, prediction_collapse

# The thresholds were measured on the runs of benchmarks/dashboard_runs.sh.
# Accuracy on training inputs of the source minus that on validation inputs: at most 0.06, but 0.53 where the source is memorised.
MEMORISED = 0.2
# Proxy A-distance: 0.37 after alignment, 1.02 to 1.68 in the other runs.
NEAR = 0.7
# Entropy of the classes predicted on the target relative to that of the source's classes: 0.98 to 1, but 0.49 after a collapse.
DIVERSE = 0.8
NO_PROOF = "These are signs, not proof: only labels of the target can show the accuracy on it."


class Signs(NamedTuple):
    """Signs of the selected checkpoint.

    Attributes:
        evidence: The evidence about the training, with the predicted classes of this checkpoint.
        train_accuracy: Accuracy on training inputs of the source in the mode of evaluation; None without source labels, and in a
            shortened training.
        confusion: Counts of the source's validation inputs, true classes in rows, shape (K, K); None without source labels.
        domain_distance: Proxy A-distance of the features; None without one of the domains, NaN if it cannot be measured.
        aligns: Whether the method brings the features of the domains together.
    """

    evidence: Evidence
    train_accuracy: float | None
    confusion: Tensor | None
    domain_distance: float | None
    aligns: bool


def verdict(signs: Signs) -> list[str]:
    """Return a line for each question of the dashboard that can be answered, and one about the worth of those about the target."""
    about_target = [*_adapting(signs), *_trust(signs)]
    return [*_learning(signs), *about_target, *([NO_PROOF] if about_target else [])]


def memorised_source(signs: Signs) -> str | None:
    """Detect a source whose training inputs are recognised far better than its validation inputs.

    Far better means by twenty points and by three standard errors of the latter.
    """
    if signs.train_accuracy is None or signs.confusion is None:
        return None
    train, val, num_inputs = signs.train_accuracy, _accuracy(signs.confusion), int(signs.confusion.sum())
    if train - val < max(MEMORISED, 3 * math.sqrt(val * (1 - val) / num_inputs)):
        return None
    return (
        f"Memorised source: {train:.0%} of the source's training inputs are recognised, but only {val:.0%} of its {num_inputs} validation "
        "inputs. What is learned by heart does not carry over to the target, and neither certain predictions nor a high selection score "
        "show it. Take more source inputs, or views that vary more (data.source_view=strong); alignment does not help."
    )


def _learning(signs: Signs) -> Iterator[str]:
    if signs.train_accuracy is None or signs.confusion is None:
        return
    counts = signs.confusion.sum(dim=1)
    val, num_inputs, guessed = _accuracy(signs.confusion), int(counts.sum()), float(counts.max() / counts.sum())
    if memorised_source(signs):
        found = "memorised"
    elif val < guessed + 2 * math.sqrt(guessed * (1 - guessed) / num_inputs):
        found = f"hardly better than the most frequent class for all ({guessed:.2f})"
    else:
        found = "no sign of memorising"
    yield f"Is it learning? Source accuracy {signs.train_accuracy:.2f} on training inputs, {val:.2f} on validation inputs: {found}."


def _adapting(signs: Signs) -> Iterator[str]:
    distance = signs.domain_distance
    if distance is None or math.isnan(distance):
        return
    found = f"the features of the domains are {'near' if distance < NEAR else 'still apart'}"
    if not signs.aligns:
        found += f", {'although' if distance < NEAR else 'but'} this method does not align them"
    yield f"Is it adapting? Proxy A-distance {distance:.2f} (0: alike, 2: apart): {found}."


def _trust(signs: Signs) -> Iterator[str]:
    counts, confusion = signs.evidence.target_counts, signs.confusion
    if counts is None:
        return
    entropy = float(class_entropy(counts))
    expected = math.log(len(counts)) if confusion is None else float(class_entropy(confusion.sum(dim=1)))
    there = f"there are {len(counts)}" if confusion is None else f"the source has {math.exp(expected):.1f}"
    if prediction_collapse(signs.evidence._replace(progress=1.0)):
        found = "collapsed, unless the target really is like that"
    # Few inputs show fewer classes, as in `prediction_collapse`.
    elif entropy < DIVERSE * (expected - (len(counts) - 1) / (2 * int(counts.sum()))):
        found = "collapsing, unless the target really is like that"
    else:
        found = "no sign of a collapse"
    yield f"Can it be trusted? Target predictions as diverse as {math.exp(entropy):.1f} equally frequent classes, {there}: {found}."


def _accuracy(confusion: Tensor) -> float:
    return float(confusion.trace() / confusion.sum())
