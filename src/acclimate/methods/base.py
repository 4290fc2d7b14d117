"""What every method shares: the forward pass over both domains, the sum of its losses, progress, and the optimizer."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from acclimate.errors import ConfigError
from acclimate.nn.batch_norm import BatchNormPolicy, batch_norms, predict_domains
from acclimate.nn.classifier import Classifier
from acclimate.types import DomainBatch, Labelled, Prediction, Unlabelled

TargetTerm = Callable[[Tensor], Tensor]


class Method(pl.LightningModule, ABC):
    """A way to train a classifier; a subclass says with which losses.

    Args:
        classifier: What is trained.
        optimizer: Makes the optimizer from parameter groups.
        schedule: The learning rate's factor as a function of progress.
        backbone_rate: The backbone's learning rate as a factor of the head's; 0 freezes the backbone, its batch-norm
            statistics included.
        batch_norm: How batch norm treats the two domains, see `predict_domains`.
        terms: Further losses by name, functions of the target's logits (N, K), such as minimum class confusion.
        term_weights: What each term is multiplied with; 1 where it is not named.

    Raises:
        ConfigError: If a value is out of its range, or there are terms but the method does not look at the target.
    """

    needs_target: ClassVar[bool] = True
    batches_done: int
    total_batches: int

    def __init__(
        self,
        classifier: Classifier,
        *,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        schedule: Callable[[float], float],
        backbone_rate: float = 1.0,
        batch_norm: BatchNormPolicy = "joint",
        terms: Mapping[str, TargetTerm] | None = None,
        term_weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        if backbone_rate < 0:
            raise ConfigError(f"method.backbone_rate must be at least 0, but is {backbone_rate}.")
        if backbone_rate == 0:
            classifier.freeze_backbone()
        if terms and not self.needs_target:
            raise ConfigError(f"method.terms ({', '.join(terms)}) need the target, which this method does not look at. Use method=dann.")
        self.classifier = classifier
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.backbone_rate = backbone_rate
        self.batch_norm: BatchNormPolicy = batch_norm
        self.terms = dict(terms or {})
        self.term_weights = dict(term_weights or {})
        unknown = sorted(set(self.term_weights) - set(self.terms))
        if unknown:
            raise ConfigError(f"method.term_weights names {', '.join(unknown)}, but method.terms has {', '.join(self.terms) or 'none'}.")
        self.batches_done = 0
        self.total_batches = 1

    @abstractmethod
    def losses(self, batch: DomainBatch, source: Prediction, target: Prediction | None) -> dict[str, Tensor]:
        """Losses by name, already weighted; training minimises their sum.

        Args:
            batch: The images, and the labels of the source.
            source: Predictions for the source images.
            target: Predictions for the target's first view; None only where `needs_target` is False.
        """

    @property
    def progress(self) -> float:
        """How much of the training is done, in [0, 1]; a resumed run continues where it was."""
        return min(self.batches_done / self.total_batches, 1.0)

    def predict_domains(self, batch: DomainBatch) -> tuple[Prediction, Prediction | None]:
        if batch.target is None:
            return self.classifier(batch.source.images), None
        return predict_domains(self.classifier, batch.source.images, batch.target.views[0], batch_norm=self.batch_norm)

    def training_step(self, batch: DomainBatch, batch_idx: int) -> Tensor:
        source, target = self.predict_domains(batch)
        losses = self.losses(batch, source, target)
        if target is not None:
            for name, term in self.terms.items():
                losses[name] = self.term_weights.get(name, 1.0) * term(target.logits)
        total = torch.stack(list(losses.values())).sum()
        self.log_dict({f"loss/{name}": loss.detach() for name, loss in losses.items()}, batch_size=len(source.logits))
        self.log("loss/total", total.detach(), prog_bar=True, batch_size=len(source.logits))
        self.batches_done += 1
        return total

    def predict_step(self, batch: Labelled | Unlabelled, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        prediction: Prediction = self.classifier(batch.images if isinstance(batch, Labelled) else batch.views[0])
        return prediction

    validation_step = predict_step  # type: ignore[assignment]
    test_step = predict_step  # type: ignore[assignment]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The classifier's groups and one for what the method adds to it, such as a discriminator."""
        groups = self.classifier.parameter_groups(backbone_rate=self.backbone_rate)
        inside = {id(parameter) for parameter in self.classifier.parameters()}
        added = [p for p in self.parameters() if p.requires_grad and id(p) not in inside]
        return [*groups, {"name": "method", "rate": 1.0, "params": added}] if added else groups

    def configure_optimizers(self) -> Any:
        groups = self.parameter_groups()
        rates = [group.pop("rate") for group in groups]
        optimizer = self.make_optimizer(groups)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] *= rate
        scheduler = LambdaLR(optimizer, lambda _: self.schedule(self.progress))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step", "name": "learning_rate"}}

    def on_train_start(self) -> None:
        # Not trainer.estimated_stepping_batches: before this point it makes Lightning build the loader, whose state is then not restored.
        trainer = self.trainer
        per_epoch, per_step = trainer.num_training_batches, trainer.accumulate_grad_batches
        by_epochs = math.inf if trainer.max_epochs in (None, -1) else trainer.max_epochs * per_epoch
        by_steps = math.inf
        if trainer.max_steps != -1:
            # The last step of an epoch takes what is left of its batches.
            epochs, steps = divmod(trainer.max_steps, math.ceil(per_epoch / per_step))
            by_steps = epochs * per_epoch + steps * per_step
        if math.isinf(min(by_epochs, by_steps)):
            raise ConfigError("The training has no end that schedules could run to. Set trainer.max_epochs or trainer.max_steps.")
        self.total_batches = max(int(min(by_epochs, by_steps)), 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["batches_done"] = self.batches_done

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.batches_done = checkpoint["batches_done"]

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.batch_norm == "frozen":
            for layer in batch_norms(self.classifier):
                layer.eval()
        return self
