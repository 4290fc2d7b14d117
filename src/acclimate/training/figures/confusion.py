"""Confusion matrices."""

from torch import Tensor


def draw_confusion(confusion: Tensor, classes: list[str], *, title: str) -> Tensor:
    """Draw a confusion matrix as a picture, uint8, shape (3, H, W).

    Args:
        confusion: Counts, shape (K, K), true classes in rows.
        classes: Names of the K classes.
        title: Beginning of the title, which also shows the accuracy.
    """
    from matplotlib.figure import Figure

    from acclimate.figures import drawable, picture

    num_classes = len(classes)
    figure = Figure()
    axes = figure.add_subplot()
    shares = confusion / confusion.sum(dim=1, keepdim=True).clamp_min(1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    ticks = range(0, num_classes, max(num_classes // 40, 1))
    names = [drawable(classes[tick]) for tick in ticks]
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(ticks, names)
    axes.set(
        xlabel="predicted class",
        ylabel="true class (shade: share of the row)",
        title=f"{title}: accuracy {confusion.trace() / confusion.sum():.3f}",
    )
    if num_classes <= 20:
        for row, column in confusion.nonzero().tolist():
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(int(confusion[row, column])), ha="center", va="center", color=colour, fontsize=8)
    # Wide enough for the line below it.
    side = min(max(3.5, 2.2 + 0.3 * num_classes), 15.0)
    return picture(figure, plot_size=(side, side))
