"""Contents of the dashboard in TensorBoard: a description of each curve and picture, and the page that tells a run's story.

`docs/dashboard.md` explains how to read it.
"""

from collections.abc import Set
from fnmatch import fnmatchcase
from typing import NamedTuple

# Results of the selected checkpoint, apart from the curves.
FINAL = "final/"
AIM = "adaptation/domain_accuracy_aim"
# TensorBoard's axes show the middle nine tenths of a chart's values. With flat lines at the ends of a range, of as many values as the
# curve, they show all of it, and charts can be compared. Curves of training have other steps than those of validations.
POSITIVE = (("range/0", 0.0),)
SHARE = (*POSITIVE, ("range/1", 1.0))
DISTANCE = (*POSITIVE, ("range/2", 2.0))
POSITIVE_IN_TRAINING = (("range/training_0", 0.0),)
SHARE_IN_TRAINING = (*POSITIVE_IN_TRAINING, ("range/training_1", 1.0))

SCORE = "It uses no target labels. Higher is better. docs/selection.md says when it fails."

# By name, in the order in which they are looked up.
DESCRIPTIONS = {
    "loss/classification": "Cross-entropy on labelled source inputs. It should fall. Worry if it stays near log(number of classes), "
    "or if it rises again while the alignment grows.",
    "loss/domain": "Loss of the domain discriminator. log 2 = 0.69 is chance level, which is the aim at the end. Worry if it is near 0 "
    "(the domains stay apart) or was never below 0.69 (the discriminator has learned nothing).",
    "loss/total": "Sum of all losses that training minimises. With an adversary it need not fall.",
    "loss/*": "One of the losses that training minimises the sum of, with its weight.",
    "learning_rate*": "Learning rate of a group of parameters.",
    "epoch": "Number of passes over the data.",
    "source/train_accuracy": "Accuracy on the source's inputs of a training batch, in the views and the mode of training. It should rise "
    "together with source/val_accuracy. Worry if it is 1 while that stays 0.2 below: the source is memorised, or the predictions "
    "collapse. Strong views, dropout and Mixup, of which the larger share counts, lower it.",
    "source/val_accuracy": "Accuracy on the source's validation inputs. Higher is better. Worry if it falls by points while the "
    "alignment grows, or if it is 1 while the target curves do not move: the model may only have memorised the source.",
    "target/val_oracle_accuracy": "Accuracy on the target's validation inputs, which uses target labels. Higher is better. Only to study "
    "a run: a choice made by it cannot be made where there are no labels.",
    "selection/value": "The score that selects the checkpoint. Higher is better; the checkpoint with the highest value is tested. "
    "A high value is no accuracy: certain and wrong predictions also score well, so a run that has memorised its source can have a "
    "higher value than a better one. Compare checkpoints of one run by it; before you compare runs, answer the other questions.",
    "selection/is_oracle": "1 if the checkpoint is selected by target labels.",
    "adaptation/domain_accuracy": "Accuracy of the domain discriminator on training batches. The aim is 0.5: it cannot tell the domains "
    "apart; it counts only if adaptation/proxy_a_distance falls, too. Worry above 0.9 for long (the features do not adapt) or if it has "
    "been 0.5 since the first step (it has learned nothing).",
    "adaptation/source_domain_accuracy": "Share of source inputs that the discriminator assigns to the source. The aim is 0.5. Worry if "
    "it goes to 1 while that of the target goes to 0, or the other way round: it then gives all inputs the same answer.",
    "adaptation/target_domain_accuracy": "Share of target inputs that the discriminator assigns to the target. The aim is 0.5; see "
    "adaptation/source_domain_accuracy.",
    AIM: "0.5, the aim of the domain accuracy: a discriminator at chance level.",
    "range/*": "An end of the range of the curves with which it shares a chart, so that their axis shows all of it.",
    "adaptation/reversal": "λ, the strength with which the discriminator's gradient is reversed. It grows from 0. Worry if it stays 0: "
    "nothing is aligned.",
    "adaptation/adversarial_weight": "λ, the weight of the adversarial loss. It grows from 0. Worry if it stays 0: nothing is aligned.",
    "adaptation/strength": "λ, the weight of the alignment. It grows from 0. Worry if it stays 0: nothing is aligned.",
    "adaptation/weight": "λ, the weight of the alignment. It grows from 0. Worry if it stays 0: nothing is aligned.",
    "adaptation/proxy_a_distance": "Distance between the domains' features on validation inputs: how well a linear classifier tells them "
    "apart, which may use directions with a fair share of the variance. 0: not at all, 2: without error. Lower is better aligned. It "
    "usually starts above 1 and falls below 0.7. Worry if it stays near 1 or rises. A low value is no proof: features that have "
    "collapsed are alike, too. With several sources or targets, the mean over their pairs.",
    "adaptation/mmd": "Maximum mean discrepancy between the domains' features on validation inputs. 0: alike. Lower is better aligned. It "
    "usually falls to a third of its first value or less. Worry if it stays or rises. Its scale depends on the features' width: compare "
    "within a run, and between runs of one model.",
    "adaptation/gradient_ratio": "Norm of the gradient that the features receive from the adaptation, relative to that from the "
    "classification. About 0.1 to 10 is usual, and it grows as the classification loss vanishes. Worry if it is 0 (no adaptation) or "
    "above 100 early on (the adaptation drowns the task).",
    "adaptation/discrepancy": "The discrepancy that the method minimises, before its weight. Lower is better aligned.",
    "adaptation/wasserstein_distance": "The critic's estimate of the Wasserstein distance between the domains. Lower is better aligned.",
    "adaptation/*": "A quantity that the method watches; its docstring explains it.",
    "predictions/target_class_entropy": "Entropy of the shares of the classes predicted on the target, relative to equal shares. It should "
    "be near that of the source, usually above 0.9 for classes of similar size. Worry if it is below by more than 0.1: the predictions "
    "collapse to few classes.",
    "predictions/source_class_entropy": "Entropy of the shares of the classes predicted on the source, relative to equal shares: 1 if all "
    "classes are predicted equally often. The value to compare predictions/target_class_entropy with.",
    "predictions/target_confidence": "Mean probability of the predicted class on the target. It should rise with training and stay a "
    "little below that of the source, usually by less than 0.1. Worry if it stays 0.2 below (not adapted), or if it is above (the "
    "predictions collapse, or the source is too small). High confidence is no accuracy: a collapsed model is certain, too.",
    "predictions/source_confidence": "Mean probability of the predicted class on the source's validation inputs, to compare "
    "predictions/target_confidence with. Usually above 0.9. Worry if it is near the accuracy of guessing.",
    "predictions/agreement_with_source_only": "Share of target inputs for which this run predicts the same class as the source_only run "
    "beside it. Usually 0.6 to 0.95. Near 1: adaptation has changed nothing. Worry if it is low while the predictions' entropy is low, "
    "too.",
    "score/rankme": "Effective number of directions that the target's features use. Higher is better, within one run. Worry if it falls to "
    "a few: the features collapse.",
    "score/source_accuracy": "Accuracy on the source's validation inputs. Higher is better. It cannot see any change in the target.",
    "score/iwv": f"Negative source error, weighted by similarity to the target; 0 is best. {SCORE}",
    "score/dev": f"Negative source error, weighted by similarity to the target, with less variance; 0 is best. {SCORE}",
    "score/devn": f"As score/dev, with normalised weights; 0 is best. {SCORE}",
    "score/target_entropy": f"Negative entropy of target predictions: certain predictions. {SCORE} A collapse has the best value.",
    "score/diversity": f"Entropy of the mean target prediction: all classes predicted equally often. {SCORE}",
    "score/information": f"Certain and diverse predictions on the target, in nats. {SCORE}",
    "score/information_corr_c": f"Mean of relative information and corr_c: certain and diverse predictions. {SCORE}",
    "score/corr_c": f"Correlations of predicted classes: diverse predictions more than certain ones. {SCORE}",
    "score/bnm": f"Certain and diverse predictions on the target, by singular values. {SCORE}",
    "score/snd": f"Dense neighbourhoods of target predictions. {SCORE} A collapse has the best value.",
    "score/class_ami": f"Agreement of target predictions with clusters of the features. {SCORE}",
    "score/transfer_score": f"Clustered target features and information. {SCORE}",
    "source/test_accuracy": "Accuracy on the source's test inputs. Higher is better.",
    "target/test_accuracy": "Accuracy on the target's test inputs. Higher is better. Its labels are used only here, at the end: runs that "
    "are chosen by it have an accuracy that cannot be had without labels.",
    "train/skipped_steps": "Number of batches that were left out because a loss or gradient was not finite. Worry if it is not 0.",
    "train/samples_per_second": "Speed of the training. Higher is better.",
    "configuration": "The resolved configuration of the run.",
    "curves": "What each curve is, which direction is good, and when to worry.",
    "data": "Samples of each class and part, and how they were read. Check it first.",
    "answers": "The answers to the three questions for the selected checkpoint, without target labels: signs, not proof.",
    "warnings": "The warnings of the run, which are also in train.log. Their absence does not mean that training went well.",
    "samples": "Training inputs as the network sees them: of a source with labels equally many of each class, otherwise a random draw; "
    "vectors as points. Worry if you cannot recognise the classes, or if the domains look the same or unrelated.",
    "confusion/*": "Test inputs by true class (rows) and predicted class (columns). A good model is dark on the diagonal. Worry about a "
    "dark column: one class is predicted for everything.",
    "class_shares": "Shares of the predicted classes in both domains. The bars of a class should be of similar height, unless the "
    "target really has other proportions. Worry if few classes have all of the target.",
    "projection/*": "Features of validation inputs of both domains in two dimensions, coloured by domain and by predicted class. Aim: "
    "the domains overlap, and the classes are apart. Worry if the domains form separate clouds, or if the target is one blob.",
    "predictions/*": "Target test inputs with the predicted class and its probability. Look for confident mistakes, and for what the "
    "uncertain inputs have in common.",
}


class Chart(NamedTuple):
    """A chart of the page.

    Attributes:
        title: Title, which says what to look for.
        tags: Names of its curves.
        lines: Names and values of flat lines, which the logger draws beside the curves.
    """

    title: str
    tags: tuple[str, ...]
    lines: tuple[tuple[str, float], ...] = ()


# One curve in most charts, because TensorBoard draws all curves of a run in one colour and keeps their names closed.
PAGE = {
    "1. Is it learning? (all charts: x axis = steps, flat lines = ends of the y axis, pale = as measured, bold = smoothed)": (
        Chart("Source accuracy on validation inputs (aim: 1)", ("source/val_accuracy",), SHARE),
        Chart(
            "Source accuracy on training inputs (0.2 above that on validation inputs: memorised, or collapsed if 3. says so)",
            ("source/train_accuracy",),
            SHARE_IN_TRAINING,
        ),
        Chart("Source loss on training inputs (aim: 0)", ("loss/classification",), POSITIVE_IN_TRAINING),
    ),
    "2. Is it adapting?": (
        Chart(
            "Discriminator's accuracy on source inputs (flat line at 0.5: aim; 0.3 to 0.7: good only if the proxy A-distance falls, too)",
            ("adaptation/source_domain_accuracy",),
            (*SHARE_IN_TRAINING, (AIM, 0.5)),
        ),
        Chart(
            "Discriminator's accuracy on target inputs (flat line at 0.5: aim; 0.3 to 0.7: good only if the proxy A-distance falls, too)",
            ("adaptation/target_domain_accuracy",),
            (*SHARE_IN_TRAINING, (AIM, 0.5)),
        ),
        Chart(
            "λ, strength of the alignment (0: nothing is aligned)",
            ("adaptation/reversal", "adaptation/adversarial_weight", "adaptation/strength", "adaptation/weight"),
            POSITIVE_IN_TRAINING,
        ),
        Chart(
            "Gradient of adaptation relative to task (0: no adaptation, 0.1 to 10: usual)",
            ("adaptation/gradient_ratio",),
            POSITIVE_IN_TRAINING,
        ),
        Chart("MMD of the features (0: domains alike; should fall to a third or less; no proof alone)", ("adaptation/mmd",), POSITIVE),
        Chart(
            "Proxy A-distance of the features (0: domains alike, 2: apart; should fall below 0.7)",
            ("adaptation/proxy_a_distance",),
            DISTANCE,
        ),
    ),
    "3. Can it be trusted?": (
        Chart(
            "Diversity of target predictions (1: all classes equally often; more than 0.1 below the source: collapse)",
            ("predictions/target_class_entropy",),
            SHARE,
        ),
        Chart("Diversity of source predictions (to compare; usually above 0.9)", ("predictions/source_class_entropy",), SHARE),
        Chart("Agreement with source_only (1: adaptation changed nothing)", ("predictions/agreement_with_source_only",), SHARE),
        Chart(
            "Confidence on the target (usually up to 0.1 below the source; above it: collapse if diversity is low, else tiny source)",
            ("predictions/target_confidence",),
            SHARE,
        ),
        Chart("Confidence on the source (to compare; usually above 0.9)", ("predictions/source_confidence",), SHARE),
        Chart("Selection score (chooses between the checkpoints of one run; no accuracy, not to compare runs by)", ("selection/value",)),
    ),
    "4. Oracle (uses target labels)": (Chart("Target accuracy on validation inputs", ("target/val_oracle_accuracy",), SHARE),),
}


def describe(name: str) -> str:
    """Return the description of a curve or a picture; empty for one of the user's own."""
    if name.startswith(FINAL):
        return f"A result of the selected checkpoint, as in metrics.json. {describe(name.removeprefix(FINAL))}".rstrip()
    return next((text for pattern, text in DESCRIPTIONS.items() if fnmatchcase(name, pattern)), "")


def lines_beside(names: Set[str]) -> dict[str, float]:
    """Return the flat lines beside some curves, by name.

    Args:
        names: Names of the curves.
    """
    return {name: value for charts in page_of(names).values() for chart in charts for name, value in chart.lines}


def page_of(names: Set[str]) -> dict[str, list[Chart]]:
    """Return the charts of the page by section, without those of which a run has no curve.

    A chart is the same in all runs that have it, because TensorBoard shows different ones beside each other.

    Args:
        names: Names of the run's curves.
    """
    shown = {section: [chart for chart in charts if not names.isdisjoint(chart.tags)] for section, charts in PAGE.items()}
    return {section: charts for section, charts in shown.items() if charts}
