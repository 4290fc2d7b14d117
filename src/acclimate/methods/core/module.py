"""The Lightning module around a classifier: progress, predictions and logging."""

from collections.abc import Iterator
from itertools import chain
from types import FunctionType
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from acclimate.models.classifier import Classifier
from acclimate.types import Labelled, Prediction, Unlabelled


class ClassifierModule(pl.LightningModule):
    """Lightning module around a classifier, without a training step.

    Attributes:
        classifier: The model.
        batches_done: Number of training batches so far.
        total_batches: Number of training batches of the whole training.
        step_losses: Losses of the current step by name, for reports.
        has_logged: True if anything was logged in the current step.
    """

    classifier: Classifier

    def __init__(self) -> None:
        super().__init__()
        self.batches_done = 0
        self.total_batches = 1
        self.step_losses: dict[str, Tensor] = {}
        self.has_logged = False
        self._modes: list[tuple[nn.Module, bool]] = []

    @property
    def progress(self) -> float:
        """Completed share of the training, in [0, 1]; a resumed run continues where it stopped."""
        return min(self.batches_done / self.total_batches, 1.0)

    def log(self, name: str, value: Any, **options: Any) -> None:  # type: ignore[override]
        """Log as Lightning does; in training, only in steps that are written and at the end of an epoch.

        Logging every step would cost as much time as a layer.

        Args:
            name: Name of the curve.
            value: A number, a tensor, or a function that returns one, which is called only if the value is logged.
            **options: Options of Lightning.
        """
        trainer = self.trainer
        written = (self.batches_done + 1) % max(trainer.log_every_n_steps, 1) == 0 or trainer.is_last_batch  # type: ignore[attr-defined]
        # In evaluation mode, it is no step of a training; `trainer.training` compares texts, which takes longer.
        if written or not self.training or trainer.accumulate_grad_batches > 1:
            self.has_logged = True
            super().log(name, value() if isinstance(value, FunctionType) else value, **options)

    def is_fixed(self, name: str) -> bool:
        """Return True if training never changes this entry of the state: those of a frozen backbone, possibly hundreds."""
        return self.classifier.frozen and name.startswith("classifier.backbone.")

    def changing_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield all modules by name but a frozen backbone, which may consist of hundreds."""
        fixed: set[nn.Module] = {self.classifier.backbone} if self.classifier.frozen else set()
        yield from self.named_modules(memo=fixed)

    def changing_state(self) -> dict[str, Tensor]:
        """Return all parameters and buffers that are not fixed, by name."""
        return {
            f"{place}.{name}" if place else name: tensor
            for place, module in self.changing_modules()
            for name, tensor in chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
        }

    def predict_step(self, batch: Labelled | Unlabelled, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        prediction: Prediction = self.classifier(batch.inputs)
        return prediction

    validation_step = predict_step  # type: ignore[assignment]
    test_step = predict_step  # type: ignore[assignment]

    def on_validation_model_zero_grad(self) -> None:
        """Release the gradients of what training changes, as `zero_grad` does for all parameters."""
        for tensor in self.changing_state().values():
            tensor.grad = None

    def on_validation_model_eval(self) -> None:
        """Set the evaluation mode; a frozen backbone always has it."""
        self._modes = [(module, module.training) for _, module in self.changing_modules()]
        super().on_validation_model_eval()

    def on_validation_model_train(self) -> None:
        """Restore the modes before the validation."""
        for module, mode in self._modes:
            module.training = mode

    def on_validation_start(self) -> None:
        """Broadcast the buffers of rank 0, so that all processes validate the model that is saved."""
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["batches_done"] = self.batches_done

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.batches_done = checkpoint["batches_done"]
