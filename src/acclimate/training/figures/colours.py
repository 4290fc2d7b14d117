"""Colours that readers with any colour vision can tell apart."""

from typing import Any

# The scheme "muted" of Paul Tol, "Colour Schemes", 2021.
TEN_CLASSES = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#999999")


def class_colours(num_classes: int) -> list[Any]:
    """Return a colour for each class; of more than ten, neighbours are hard to tell apart."""
    if num_classes <= len(TEN_CLASSES):
        return list(TEN_CLASSES[:num_classes])
    from matplotlib import colormaps

    return [colormaps["viridis"](number / (num_classes - 1)) for number in range(num_classes)]
