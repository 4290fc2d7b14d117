"""Features of both domains in two dimensions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from acclimate.scores.threads import one_thread
from acclimate.training.figures.colours import class_colours

MARKERS = {"source": "o", "target": "x"}
# A name beside each cloud, and a colour in the legend, for so many classes.
MAX_NAMED = 20
PERPLEXITY = 20
# Fewer steps than the default of scikit-learn, which takes four times as long for clouds that look the same.
TSNE_STEPS = 300


def principal_components(features: Tensor, num: int = 2) -> Tensor:
    """Return the first principal components of features, shape (N, num); zeros where there are fewer.

    Args:
        features: Shape (N, D).
        num: Number of components.
    """
    centred = features.double().cpu()
    centred = centred - centred.mean(dim=0)
    left, lengths, _ = torch.linalg.svd(centred, full_matrices=False)
    found = (left * lengths)[:, :num]
    return torch.nn.functional.pad(found, (0, num - found.shape[1])).float()


def neighbour_embedding(features: Tensor) -> Tensor:
    """Return a t-SNE of features, shape (N, 2): neighbours stay neighbours, but distances between clouds mean little.

    Args:
        features: Shape (N, D), N above 3.
    """
    from sklearn.manifold import TSNE

    reduced = principal_components(features, min(30, *features.shape)).numpy()
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with one_thread():
        embedding = TSNE(perplexity=perplexity, max_iter=TSNE_STEPS, init="pca", random_state=0, n_jobs=1).fit_transform(reduced)
    return torch.from_numpy(embedding)


def draw_projection(
    points: Tensor, domains: Sequence[str], predicted: Tensor | None, classes: Sequence[str], *, title: str, axes_name: str
) -> Tensor:
    """Draw points by domain and by predicted class as a picture, uint8, shape (3, H, W).

    Args:
        points: Shape (N, 2).
        domains: Domain of each of the N points.
        predicted: Predicted class of each point, int64, shape (N,); None if the head is not trained.
        classes: Names of the K classes.
        title: Title of the figure.
        axes_name: Beginning of the names of both axes.
    """
    from matplotlib.colors import to_rgba_array
    from matplotlib.figure import Figure

    from acclimate.figures import DOMAIN_COLOURS, picture

    figure = Figure(figsize=(4.6 if predicted is None else 10.2, 4.6))
    panels = figure.subplots(1, 1 if predicted is None else 2, squeeze=False)[0]
    # A fixed layout, because matplotlib's automatic ones draw the figure several times.
    figure.subplots_adjust(left=0.08 if predicted is None else 0.04, right=0.97 if predicted is None else 0.87, bottom=0.08, top=0.86)
    figure.suptitle(title, fontsize=11)
    colours = to_rgba_array(class_colours(len(classes)))
    shown = {name: torch.tensor([domain == name for domain in domains]) for name in DOMAIN_COLOURS if name in domains}
    for name, rows in shown.items():
        style = {"s": 14, "marker": MARKERS[name], "linewidths": 0.9, "alpha": 0.75}
        across, up = points[rows].T.tolist()
        panels[0].scatter(across, up, color=DOMAIN_COLOURS[name], label=name, **style)
        if predicted is not None:
            panels[1].scatter(across, up, color=colours[predicted[rows].numpy()], **style)
    panels[0].set_title("by domain", fontsize=10, loc="left")
    # Above the points; matplotlib's search for a free place is slow.
    panels[0].legend(ncols=2, fontsize=9, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderpad=0.1)
    if predicted is not None:
        panels[1].set_title("by predicted class (o source, x target)", fontsize=10)
        _name_classes(panels[1], points, predicted, classes)
    for panel in panels:
        # Their numbers mean nothing, and would take half of the time.
        panel.set(xlabel=f"{axes_name} 1", ylabel=f"{axes_name} 2", xticks=[], yticks=[])
    return picture(figure)


def _name_classes(panel: "object", points: Tensor, predicted: Tensor, classes: Sequence[str]) -> None:
    """Write the name of each class at the middle of its points, and next to its colour."""
    from matplotlib.lines import Line2D

    from acclimate.figures import drawable

    colours, there = class_colours(len(classes)), sorted(set(predicted.tolist()))
    for number in there[:MAX_NAMED]:
        across, up = points[predicted == number].median(dim=0).values.tolist()
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colours[number], "alpha": 0.85}
        panel.text(across, up, drawable(classes[number], length=12), fontsize=8, ha="center", va="center", bbox=box)  # type: ignore[attr-defined]
    if len(classes) <= MAX_NAMED:
        handles = [Line2D([], [], linestyle="", marker="s", color=colours[number]) for number in there]
        names = [drawable(classes[number], length=16) for number in there]
        panel.legend(handles, names, fontsize=7, ncols=-(-len(there) // 10), loc="center left", bbox_to_anchor=(1.0, 0.5))  # type: ignore[attr-defined]
