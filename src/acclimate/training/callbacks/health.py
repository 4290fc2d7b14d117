"""Warns while a run trains, when it shows a symptom of something that goes wrong."""

import logging
from itertools import takewhile
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from tqdm.contrib.logging import logging_redirect_tqdm  # type: ignore[import-untyped]

from acclimate.data.datamodule import data_of
from acclimate.diagnostics.training_problems import SYMPTOMS, Evidence, Validation, estimated_proportions
from acclimate.training.callbacks.accuracies import Accuracies
from acclimate.training.callbacks.scores import Scores

log = logging.getLogger(__name__)

# Methods with a domain discriminator log it; a critic, or a classifier that plays the adversary, has no such accuracy.
DOMAIN_ACCURACY = "adaptation/domain_accuracy"
NUM_TENTHS = 10


class Health(Callback):
    """Looks for every symptom after each validation and warns of it once, in the console and in `train.log`.

    Args:
        accuracies: Has counted the source's validation images.
        scores: Has the predictions on the target's; its labels are not looked at.
    """

    def __init__(self, accuracies: Accuracies, scores: Scores) -> None:
        self.accuracies = accuracies
        self.scores = scores
        self.warned: list[str] = []
        self.history: list[Validation] = []
        # Sums and numbers of what was logged in each tenth of the training.
        self.domain_accuracy: list[Tensor | float] = [0.0] * NUM_TENTHS
        self.num_logged = [0] * NUM_TENTHS
        self._evidence: Evidence | None = None

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        # Only in steps in which Lightning reads the metrics for the logger, too; and without waiting for the device.
        interval: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if trainer.global_step % max(interval, 1) == 0 and DOMAIN_ACCURACY in (metrics := trainer.callback_metrics):
            tenth = min(int(NUM_TENTHS * pl_module.progress), NUM_TENTHS - 1)  # type: ignore[operator]
            self.domain_accuracy[tenth] = self.domain_accuracy[tenth] + metrics[DOMAIN_ACCURACY]
            self.num_logged[tenth] += 1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._evidence = self._gather(trainer, pl_module)
            self._judge(trainer, self._evidence)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Early stopping may end a training before its progress says so.
        if self._evidence is not None:
            self._judge(trainer, self._evidence._replace(progress=1.0))

    def _gather(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Evidence:
        classes: list[str] = data_of(trainer).domains.classes
        progress = float(pl_module.progress)  # type: ignore[arg-type]
        confusion = self.accuracies.confusion["source"].cpu() if "source" in self.accuracies.confusion else None
        target_counts, proportions = None, []
        # What is not finite says nothing of a class.
        if self.scores.probabilities and (probabilities := torch.cat(self.scores.probabilities)).isfinite().all():
            target_counts = probabilities.argmax(dim=1).bincount(minlength=len(classes)).cpu()
            proportions = [] if confusion is None else estimated_proportions(confusion, target_counts).tolist()
        if confusion is not None:
            self.history.append(Validation(progress, float(confusion.trace() / confusion.sum()), proportions))
        # A tenth of a short training may have no step that is logged; without it and what follows nothing is known of "since when".
        tenths = takewhile(lambda tenth: tenth[1], zip(self.domain_accuracy, self.num_logged, strict=True))
        means = torch.tensor([float(total) / number for total, number in tenths])
        # Processes evaluate the same images, but train on others.
        reduced = trainer.strategy.reduce(means.to(pl_module.device), reduce_op="mean")
        assert isinstance(reduced, Tensor)
        source_counts = None if confusion is None else confusion.sum(dim=1)
        return Evidence(progress, classes, source_counts, target_counts, self.history, reduced.tolist())

    def _judge(self, trainer: pl.Trainer, evidence: Evidence) -> None:
        for symptom in SYMPTOMS:
            message = None if symptom.__name__ in self.warned else symptom(evidence)
            if message is not None:
                self.warned.append(symptom.__name__)
                if trainer.is_global_zero:
                    # Above the progress bar, not into it.
                    with logging_redirect_tqdm():
                        log.warning(message)

    def state_dict(self) -> dict[str, Any]:
        return {
            "warned": list(self.warned),
            "history": [tuple(validation) for validation in self.history],
            "domain_accuracy": [float(total) for total in self.domain_accuracy],
            "num_logged": list(self.num_logged),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.warned = state_dict["warned"]
        self.history = [Validation(*values) for values in state_dict["history"]]
        self.domain_accuracy, self.num_logged = state_dict["domain_accuracy"], state_dict["num_logged"]
