"""Shares of the predicted classes in both domains."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from acclimate.types import Domain

# More bars cannot be told apart.
MAX_NAMED = 40


def draw_class_shares(predicted: Mapping[Domain, Tensor], true: Tensor | None, classes: Sequence[str], *, title: str) -> Tensor:
    """Draw the share of each class among the predictions for each domain as a picture, uint8, shape (3, H, W).

    Args:
        predicted: Number of inputs predicted as each class by domain, shape (K,).
        true: Number of source inputs of each class, shape (K,), drawn as a line; None if it is not known.
        classes: Names of the K classes.
        title: Title of the figure.
    """
    from matplotlib.figure import Figure

    from acclimate.figures import DOMAIN_COLOURS, drawable, picture

    num_classes = len(classes)
    figure = Figure()
    axes = figure.add_subplot()
    width = 0.8 / max(len(predicted), 1)
    for place, (domain, counts) in enumerate(predicted.items()):
        shares = counts / counts.sum().clamp_min(1)
        across = [number + (place + 0.5) * width - 0.4 for number in range(num_classes)]
        hatch = "" if domain == "source" else "//"
        axes.bar(across, shares.tolist(), width, label=f"{domain}, predicted", color=DOMAIN_COLOURS[domain], hatch=hatch, edgecolor="white")
    if true is not None:
        edges = [number - 0.5 for number in range(num_classes + 1)]
        axes.stairs((true / true.sum().clamp_min(1)).tolist(), edges, color="black", label="source, true")
    ticks = range(0, num_classes, -(-num_classes // MAX_NAMED))
    axes.set_xticks(ticks, [drawable(classes[tick]) for tick in ticks], rotation=90 if num_classes > 12 or _are_long(classes) else 0)
    axes.set(xlabel="class", ylabel="share of the validation inputs")
    axes.set_title(title, fontsize=11)
    # Room for the legend above the bars.
    axes.margins(y=0.3)
    axes.legend(ncols=3, fontsize=8, loc="upper center")
    return picture(figure, plot_size=(min(max(4.2, 0.7 + 0.45 * num_classes), 15.0), 2.9))


def _are_long(names: Sequence[str]) -> bool:
    return max(map(len, names)) > 6
