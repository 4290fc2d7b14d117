"""The base class of all methods: from a batch to the sum of its losses, progress and the optimizer."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

import torch
from annotated_types import Gt, doc
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from acclimate.extras.extra import Extra, Extras, Step, combined
from acclimate.inputs import Inputs
from acclimate.methods.core.measures import log_gradient_ratio, log_source_accuracy
from acclimate.methods.core.module import ClassifierModule
from acclimate.methods.core.not_finite import explained_nan, spread
from acclimate.methods.core.optimisation import (
    default_backbone_rate,
    num_training_batches,
    refuse_fixed_features,
    restart_schedule,
    scheduled_optimizer,
)
from acclimate.methods.core.passes import Passes, passes
from acclimate.models.batch_norm import BatchNormPolicy, batch_norms, predict_domains
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative
from acclimate.types import DomainBatch, LabelledPass, Needs, Prediction, TrainingInputs, UnlabelledPass


class Method(ClassifierModule):
    """Base class of training methods: a subclass declares its `needs` and returns the losses of its paper.

    The cross-entropy of labelled inputs and the extras are the same for all methods.

    Args:
        classifier: The model to train.
        optimizer: Function from parameter groups to an optimizer.
        schedule: Factor of the learning rate as a function of progress.
        backbone_rate: Learning rate of the backbone as a multiple of the head's; 0 freezes the backbone, including its
            batch-norm statistics. None: 0.1 for a pretrained backbone, 1 for a random one and for LoRA, whose weights are new, 0
            for a frozen one.
        layer_decay: Learning rate of each stage of the backbone as a multiple of that of the next stage towards the head,
            above 0; the head comes after the last stage, and `backbone_rate` multiplies all stages. None: the same rate for
            all stages.
        batch_norm: Treatment of the two domains by batch norm, see `predict_domains`. None: `frozen` for a pretrained
            backbone, whose statistics a few small batches would spoil, and `joint` for a random one. `frozen` also applies
            to the bottleneck, whose batch norm then acts as a learned affine map.
        extras: Options of any method by name, in the order in which they change a batch, see `make_extras`.

    Raises:
        ConfigError: If an extra does not fit the method, or the method aligns features that no layer trains.
    """

    needs: Needs = Needs()
    data: TrainingInputs

    def __init__(
        self,
        classifier: Classifier,
        *,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        schedule: Callable[[float], float],
        backbone_rate: NonNegative | None = None,
        layer_decay: Annotated[float, Gt(0), doc("Freeze the backbone with method.backbone_rate=0.")] | None = None,
        batch_norm: BatchNormPolicy | None = "joint",
        extras: Mapping[str, Extra] | None = None,
    ) -> None:
        super().__init__()
        self.backbone_rate = default_backbone_rate(classifier) if backbone_rate is None else backbone_rate
        if self.backbone_rate == 0:
            classifier.freeze_backbone()
        if self.needs.trained_features:
            refuse_fixed_features(classifier)
        if self.needs.is_self_supervised:
            classifier.head.requires_grad_(False)
        self.extras = Extras(extras or {})
        self.needs = self.extras.extend(self.needs)
        self.extras.attach(classifier)
        self.classifier = classifier
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.layer_decay = layer_decay
        self.batch_norm: BatchNormPolicy = batch_norm or ("frozen" if classifier.pretrained else "joint")
        # Lightning does not change the mode of layers, and frozen batch norm must be in evaluation mode.
        self.train()

    def before_pass(self, batch: DomainBatch) -> None:
        """Hook before the forward pass over a batch, for example to unfreeze a stage."""

    def recorded(self) -> Sequence[nn.Module]:
        """Return the modules of the classifier whose outputs `source_losses` takes from `LabelledPass.hidden`."""
        return ()

    def source_losses(self, source: LabelledPass) -> dict[str, Tensor]:
        """Return the method's own losses by name, weighted, if it does not use the target."""
        return {}

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        """Return the method's own losses by name, weighted, if it uses the target.

        Args:
            source: The source's inputs, labels and predictions; empty if `needs.source` is `none`, without labels if it is
                `unlabelled`.
            target: The target's inputs and the predictions for their first view.
        """
        return {}

    def target_classification(self, few: LabelledPass) -> Tensor:
        """Return the cross-entropy of labelled target inputs."""
        return F.cross_entropy(few.logits, few.labels)

    def losses(self, source: LabelledPass, target: UnlabelledPass | None) -> dict[str, Tensor]:
        """Return the cross-entropy of the source, if it has labels, and the method's own losses."""
        task = {"classification": F.cross_entropy(source.logits, source.labels)} if self.needs.source == "labelled" else {}
        return combined(task, self.source_losses(source) if target is None else self.adaptation_losses(source, target))

    def all_losses(self, batch: DomainBatch) -> dict[str, Tensor]:
        """Return the losses that training minimises the sum of: those of the method, its extras and labelled target inputs."""
        batch = self.extras.change(batch, self.progress)
        self.before_pass(batch)
        source, target, labelled_target = self.passes(batch)
        losses = self.losses(source, target)
        if target is not None:
            losses = combined(losses, self.extras.losses(Step(source, target, self.classifier, self.progress)))
        if labelled_target is not None:
            losses = combined(losses, {"target_classification": self.target_classification(labelled_target)})
        if self.needs.source == "labelled":
            log_source_accuracy(self, source)
        if target is not None:
            log_gradient_ratio(self, losses, source, target)
        self.log_dict(self.extras.statistics())
        return losses

    def training_step(self, batch: DomainBatch, batch_idx: int) -> Tensor:
        try:
            losses = self.all_losses(batch)
        except (ArithmeticError, ValueError, RuntimeError) as error:
            losses = explained_nan(error, self, lambda: self.passes(batch).predictions())
        total = torch.stack(list(losses.values())).sum()
        self.step_losses = {name: loss.detach() for name, loss in losses.items()}
        self.log_dict({f"loss/{name}": loss for name, loss in self.step_losses.items()}, batch_size=batch.source.num_inputs)
        self.log("loss/total", total.detach(), prog_bar=True, batch_size=batch.source.num_inputs)
        self.batches_done += 1
        return spread(total)

    def predict_domains(self, source: Inputs, target: Inputs) -> tuple[Prediction, Prediction]:
        """Return predictions for inputs of both domains, with batch norm in the mode `batch_norm`."""
        return predict_domains(self.classifier, source, target, batch_norm=self.batch_norm)

    def passes(self, batch: DomainBatch) -> Passes:
        """Run the classifier on a training batch."""
        return passes(batch, self.classifier, self.predict_domains, self.recorded())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the classifier's parameter groups and one for the method's own parameters, such as a discriminator."""
        groups = self.classifier.parameter_groups(backbone_rate=self.backbone_rate, layer_decay=self.layer_decay)
        inside = {id(parameter) for parameter in self.classifier.parameters()}
        added = [p for p in self.parameters() if p.requires_grad and id(p) not in inside]
        return [*groups, {"name": "method", "rate": 1.0, "params": added}] if added else groups

    def configure_optimizers(self) -> Any:
        return scheduled_optimizer(self.make_optimizer, self.parameter_groups(), lambda: self.schedule(self.progress))

    def on_train_start(self) -> None:
        self.total_batches = num_training_batches(self.trainer)
        restart_schedule(self.lr_schedulers(), self.schedule(self.progress))
        self.extras.prepare(self.data)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.batch_norm == "frozen":
            for layer in batch_norms(self.classifier):
                layer.eval()
        return self
