"""Pictures for the loggers and for the run's folder: samples of both domains, and confusion matrices."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor

from acclimate.data.datamodule import data_of
from acclimate.figures import write_picture
from acclimate.training.callbacks.accuracies import Accuracies
from acclimate.training.loggers import log_picture
from acclimate.training.optional_outputs import optional_output

NUM_SAMPLES = 32


class Pictures(Callback):
    """Callback that draws training samples of both domains at the start and confusion matrices at the end.

    Args:
        folder: Folder for the .png files, which are also logged.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._loggers: list[Logger] = []

    @optional_output("the picture of samples")
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The test at the end runs without loggers.
        self._loggers = trainer.loggers
        data = data_of(trainer)
        if trainer.is_global_zero and trainer.global_step == 0:
            drawn = data.kind.draw(data.first_inputs(NUM_SAMPLES))
            if drawn is not None:
                write_picture(self.folder / "samples.png", drawn)
                log_picture(self._loggers, "samples", drawn, trainer.global_step)

    @optional_output("the pictures of confusion matrices")
    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        accuracies = next(callback for callback in trainer.callbacks if isinstance(callback, Accuracies))  # type: ignore[attr-defined]
        classes = data_of(trainer).domains.classes
        for domain, confusion in accuracies.confusion.items():
            if trainer.is_global_zero:
                picture = draw_confusion(confusion.cpu(), classes, title=f"{domain}, test part")
                write_picture(self.folder / f"{domain}_confusion.png", picture)
                log_picture(self._loggers, f"confusion/{domain}", picture, trainer.global_step)


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
    side = min(3.0 + 0.35 * num_classes, 16.0)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / confusion.sum(dim=1, keepdim=True).clamp_min(1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1)
    ticks = range(0, num_classes, max(num_classes // 40, 1))
    names = [drawable(classes[tick]) for tick in ticks]
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="true", title=f"{title}: accuracy {confusion.trace() / confusion.sum():.3f}")
    if num_classes <= 20:
        for row, column in confusion.nonzero().tolist():
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(int(confusion[row, column])), ha="center", va="center", color=colour, fontsize=8)
    return picture(figure)
