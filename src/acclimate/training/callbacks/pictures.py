"""Pictures for the loggers and for the run's folder."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor

from acclimate.data.datamodule import AdaptationData, data_of
from acclimate.data.domains import Parts
from acclimate.data.samples import NO_LABEL
from acclimate.figures import drawable, write_picture
from acclimate.files.printable import printable
from acclimate.training.callbacks.accuracies import Accuracies
from acclimate.training.callbacks.adaptation import Adaptation
from acclimate.training.callbacks.final_predictions import FinalPredictions
from acclimate.training.callbacks.scores import Scores
from acclimate.training.figures.class_shares import draw_class_shares
from acclimate.training.figures.confusion import draw_confusion
from acclimate.training.figures.galleries import Group, draw_gallery
from acclimate.training.figures.projections import draw_projection, neighbour_embedding, principal_components
from acclimate.training.figures.samples import draw_samples
from acclimate.training.logged_outputs import log_picture
from acclimate.training.optional_outputs import optional_output
from acclimate.training.projector import NUM_DIRECTIONS, write_projector
from acclimate.types import Domain

# Inputs of each domain in the picture at the start, whose features no validation has computed, and in the projector, whose
# thumbnails have to be read.
NUM_AT_START = 100
NUM_PROJECTED = 100
NUM_CLASSES_SHOWN = 10
NUM_UNCERTAIN = 20
# So many characters of a class leave room for a probability in the same line.
SHORT = 7
DOMAINS: tuple[Domain, ...] = ("source", "target")

Found = TypeVar("Found", bound=Callback)


class Pictures(Callback):
    """Callback that draws samples at the start, features and predicted classes from start to end, and results at the end.

    Target labels are used only after training, in the confusion matrix and in the captions of test inputs.

    Args:
        folder: Folder for the .png files, which are also logged.
    """

    # Of shorter trainings, there are no pictures half way, nor t-SNE if they are shorter than twice as long.
    SECONDS = 10.0

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._began = 0.0
        self._loggers: list[Logger] = []
        self._progress = 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # The validation and the test at the end run without loggers.
        self._loggers = trainer.loggers
        self._progress = float(pl_module.progress)  # type: ignore[arg-type]
        self._began = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Only here, a resumed run knows its step.
        if trainer.is_global_zero and trainer.global_step == 0:
            with optional_output("the picture of samples"):
                self._keep(trainer, "samples", draw_samples(data_of(trainer)))
            with optional_output("the picture of features at the start"):
                _find(trainer, Adaptation).predict(trainer, pl_module, NUM_AT_START)
                self._draw_features(trainer, "at the start", suffix="_start")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        before, self._progress = self._progress, float(pl_module.progress)  # type: ignore[arg-type]
        is_half_way = trainer.state.fn == "fit" and before < 0.5 <= self._progress < 1 and self._elapsed() >= self.SECONDS / 2
        if trainer.is_global_zero and (is_half_way or trainer.state.fn == "validate"):
            # The selected checkpoint may be of an earlier step than the trainer's.
            when = f"half way (step {trainer.global_step:,})" if is_half_way else "selected checkpoint"
            with optional_output(f"the pictures of features and classes, {when}"):
                self._draw_features(trainer, when, suffix="_half_way" if is_half_way else "", with_neighbours=not is_half_way)
                self._draw_shares(trainer, when)
                if not is_half_way:
                    self._write_projector(trainer)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        with optional_output("the pictures of confusion matrices"):
            for domain, confusion in _find(trainer, Accuracies).confusion.items():
                drawn = draw_confusion(confusion.cpu(), data_of(trainer).domains.classes, title=f"{domain}, test part")
                self._keep(trainer, f"confusion/{domain}", drawn, file=f"{domain}_confusion.png")
        if _find(trainer, Scores).has_head:
            with optional_output("the picture of predictions"):
                self._keep(trainer, "predictions/target", _draw_predictions(trainer), file="predictions.png")

    def _elapsed(self) -> float:
        """Return the seconds since the start of the training."""
        return time.monotonic() - self._began

    def _draw_features(self, trainer: pl.Trainer, when: str, *, suffix: str = "", with_neighbours: bool = False) -> None:
        samples = _find(trainer, Adaptation).samples()
        if sum(len(sample.places) for sample in samples.values()) <= 3:
            return
        features = torch.cat([sample.features for sample in samples.values()]).cpu()
        if not features.isfinite().all():
            return
        domains = [domain for domain, sample in samples.items() for _ in sample.places]
        predicted = torch.cat([sample.probabilities for sample in samples.values()]).argmax(dim=1).cpu()
        projections: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {"pca": ("principal component", principal_components)}
        if with_neighbours and self._elapsed() >= 2 * self.SECONDS:
            projections["tsne"] = ("t-SNE", neighbour_embedding)
        for name, (axes_name, project) in projections.items():
            drawn = draw_projection(
                project(features),
                domains,
                predicted if _find(trainer, Scores).has_head else None,
                data_of(trainer).domains.classes,
                title=f"Features of {len(features)} validation inputs, {when}",
                axes_name=axes_name,
            )
            self._keep(trainer, f"projection/{name}", drawn, file=f"projection{suffix if name == 'pca' else f'_{name}'}.png")

    def _draw_shares(self, trainer: pl.Trainer, when: str) -> None:
        classes, confusion = data_of(trainer).domains.classes, _find(trainer, Accuracies).confusion.get("source")
        predicted: dict[Domain, Tensor] = {} if confusion is None else {"source": confusion.sum(dim=0).cpu()}
        if probabilities := _find(trainer, Scores).probabilities:
            predicted["target"] = torch.cat(probabilities).argmax(dim=1).bincount(minlength=len(classes))
        if predicted:
            title = f"Predicted classes, {when}"
            true = None if confusion is None else confusion.sum(dim=1).cpu()
            self._keep(trainer, "class_shares", draw_class_shares(predicted, true, classes, title=title))

    def _write_projector(self, trainer: pl.Trainer) -> None:
        data, classes = data_of(trainer), data_of(trainer).domains.classes
        samples = {domain: sample.first(NUM_PROJECTED) for domain, sample in _find(trainer, Adaptation).samples().items()}
        features = torch.cat([sample.features for sample in samples.values()])
        rows, pictures = [], []
        for domain, (places, _, probabilities) in samples.items():
            inputs = _part(data, domain).val
            for place, shares in zip(places.tolist(), probabilities.cpu(), strict=True):
                confidence, number = shares.max(dim=0)
                name = printable(inputs.name(place) or str(place))
                rows.append((domain, printable(classes[int(number)]), f"{confidence:.3f}", name))
            pictures.append(data.kind.thumbnails(data.kind.view("plain").look(inputs.load(places.tolist()), [])))
        shown = [picture for picture in pictures if picture is not None]
        thumbnails = torch.cat(shown) if len(shown) == len(pictures) else None
        components = principal_components(features, min(NUM_DIRECTIONS, *features.shape))
        write_projector(self.folder, components, ("domain", "predicted", "confidence", "input"), rows, thumbnails)

    def _keep(self, trainer: pl.Trainer, name: str, drawn: Tensor | None, *, file: str | None = None) -> None:
        """Write a picture to the folder and send it to the loggers."""
        if drawn is None:
            return
        png = write_picture(self.folder / (file or f"{name}.png"), drawn)
        self._loggers = log_picture(self._loggers, name, png, (drawn.shape[1], drawn.shape[2]), trainer.global_step)


def _find(trainer: pl.Trainer, kind: type[Found]) -> Found:
    return next(callback for callback in trainer.callbacks if isinstance(callback, kind))  # type: ignore[attr-defined]


def _draw_predictions(trainer: pl.Trainer) -> Tensor | None:
    """Draw the target's test inputs with the most certain prediction of each class, and those with the least certain ones."""
    predictions, data = _find(trainer, FinalPredictions), data_of(trainer)
    if "target" not in predictions.probabilities:
        return None
    test, classes = _part(data, "target").test, data.domains.classes
    probabilities = torch.cat(predictions.probabilities["target"])
    confidences, predicted = probabilities.max(dim=1)
    labels = torch.cat(predictions.labels["target"]).tolist() if "target" in predictions.labels else None
    order = confidences.argsort(descending=True, stable=True)
    most = [int(rows[0]) for number in sorted(set(predicted.tolist())) if len(rows := order[predicted[order] == number])]
    never = len(classes) - len(most)
    most = sorted(sorted(most, key=lambda row: -float(confidences[row]))[:NUM_CLASSES_SHOWN], key=lambda row: int(predicted[row]))
    least = order.flip(0)[:NUM_UNCERTAIN].tolist()
    gap = " " if max(map(len, classes)) <= SHORT else "\n"

    def group(title: str, rows: Sequence[int]) -> Group | None:
        assert test is not None
        thumbnails = data.kind.thumbnails(data.kind.view("plain").look(test.load(rows), []))
        captions = []
        for row in rows:
            caption = f"{drawable(classes[int(predicted[row])], length=11)}{gap}{confidences[row]:.2f}"
            if labels is not None and labels[row] not in (NO_LABEL, int(predicted[row])):
                caption += f"\nis {drawable(classes[labels[row]], length=11)}"
            captions.append(caption)
        return None if thumbnails is None else Group(title, thumbnails, captions)

    missing = f" ({never} of {len(classes)} classes are never predicted)" if never else ""
    key = "predicted class and its probability" + ("; is: the true class, if another" if labels is not None else "")
    groups = [
        group(f"target, test part: most certain prediction of each class{missing}", most),
        group(f"target, test part: least certain predictions ({key})", least),
    ]
    return draw_gallery([found for found in groups if found is not None]) if all(groups) else None


def _part(data: AdaptationData, domain: Domain) -> Parts:
    parts = data.domains.source if domain == "source" else data.domains.target
    assert parts is not None
    return parts
