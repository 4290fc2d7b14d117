"""What every method shares: the forward pass over both domains, the sum of its losses, progress, and the optimizer."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import pytorch_lightning as pl
import torch
from annotated_types import Gt, doc
from torch import Tensor, nn
from torch.linalg import LinAlgError  # type: ignore[attr-defined]
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from acclimate.errors import ConfigError, NotFiniteError
from acclimate.extras.label_shift import ClassProportions
from acclimate.extras.soft_labels import SoftLabels
from acclimate.extras.terms import TargetTerm, TargetTerms
from acclimate.models.batch_norm import BatchNormPolicy, batch_norms, fixed_statistics, predict_domains
from acclimate.models.classifier import Classifier
from acclimate.ranges import NonNegative, Share, ShareBelowOne
from acclimate.types import DomainBatch, Labelled, Prediction, Unlabelled

# Of the published code of DAN and CDAN: layers that are trained already move at a tenth of the rate of new ones.
PRETRAINED_RATE = 0.1


class Method(pl.LightningModule, ABC):
    """A way to train a classifier; a subclass says with which losses.

    Args:
        classifier: What is trained.
        optimizer: Makes the optimizer from parameter groups.
        schedule: The learning rate's factor as a function of progress.
        backbone_rate: The backbone's learning rate as a factor of the head's; 0 freezes the backbone, its batch-norm
            statistics included. None is 0.1 for a backbone that starts from weights, and 1 for a random one and for the
            updates of LoRA, which are new.
        layer_decay: The learning rate of each stage of the backbone as a factor of that of the stage behind it, above 0;
            behind the last one is the head, and `backbone_rate` multiplies them all. None is one rate for all stages.
        batch_norm: How batch norm treats the two domains, see `predict_domains`. None is `frozen` for a backbone that starts
            from weights, whose statistics a few small batches would spoil, and `joint` for a random one. `frozen` goes for a bottleneck,
            too, which then is but scaled and shifted as training finds best.
        terms: Further losses by name on the target's predictions, such as minimum class confusion, see `TargetTerms`.
        term_weights: What each term is multiplied with; 1 where it is not named.
        target_class_weights: `estimated` draws the rows of source batches anew so that classes are as frequent as they
            seem to be in the target, for every loss, see `ClassProportions`; `none` takes the batches as they are.
        target_class_weights_from: The progress from which on it does, in [0, 1].
        mixup: Above 0, Mixup of source images with this α, see `SoftLabels`; published choices are 0.2 to 0.4 on ImageNet and
            1 on CIFAR. All losses see the mixed images: what aligns the domains aligns the target with them.
        cutmix: Above 0, CutMix of source images with this α; the published choice is 1.
        label_smoothing: The share of a source label that is spread over all classes, in [0, 1); often 0.1.
        class_weights: How much an image of each class of the source counts, in the order of the classes; `balanced`: all
            classes alike; `none`: all images alike. Only their proportions matter, as in torch's `cross_entropy(weight=...)`.

    Raises:
        ConfigError: If there are terms or weights but the method does not look at the target,
            options of labelled images but it takes none, options that contradict each other, or it aligns features of
            which no layer trains.
    """

    needs_source: ClassVar[bool] = True
    needs_target: ClassVar[bool] = True
    aligns_features: ClassVar[bool] = True
    # Whether it needs the head that the backbone's weights came with.
    needs_source_head: ClassVar[bool] = False
    # Whether a loss on a few labelled images of the target may be added to its own.
    takes_target_labels: ClassVar[bool] = True
    # Whether it needs what is inside the backbone, so that features in place of images do not do.
    looks_into_backbone: ClassVar[bool] = False
    # Whether it trains features without a label of either domain. The head stays as it is, and what it predicts means nothing.
    self_supervised: ClassVar[bool] = False
    # Whether it compares two strong views of each image, of the source as well.
    needs_pairs: ClassVar[bool] = False
    batches_done: int
    total_batches: int
    # The terms of the loss of the step under way, for reports.
    step_losses: dict[str, Tensor]

    def __init__(
        self,
        classifier: Classifier,
        *,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        schedule: Callable[[float], float],
        backbone_rate: NonNegative | None = None,
        layer_decay: Annotated[float, Gt(0), doc("Freeze the backbone with method.backbone_rate=0.")] | None = None,
        batch_norm: BatchNormPolicy | None = "joint",
        terms: Mapping[str, TargetTerm] | None = None,
        term_weights: Mapping[str, float] | None = None,
        target_class_weights: Literal["none", "estimated"] = "none",
        target_class_weights_from: Share = 0.1,
        mixup: NonNegative = 0.0,
        cutmix: NonNegative = 0.0,
        label_smoothing: ShareBelowOne = 0.0,
        class_weights: Literal["none", "balanced"] | Sequence[NonNegative] = "none",
    ) -> None:
        super().__init__()
        if backbone_rate is None:
            backbone_rate = PRETRAINED_RATE if classifier.pretrained and classifier.lora_rank is None else 1.0
        if backbone_rate == 0:
            classifier.freeze_backbone()
        if self.aligns_features and not classifier.trains_features:
            raise ConfigError(
                "This method aligns features, but the backbone is frozen and there is no bottleneck that could move them. "
                "Set model.bottleneck=256, or choose a method that trains the head alone, such as method=mcc."
            )
        if self.self_supervised:
            classifier.head.requires_grad_(False)
        self.soft_labels = SoftLabels(
            classifier.head.out_features, mixup=mixup, cutmix=cutmix, smoothing=label_smoothing, class_weights=class_weights
        )
        self._check_options(terms, estimates_weights=target_class_weights == "estimated")
        self.classifier = classifier
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.backbone_rate = backbone_rate
        self.layer_decay = layer_decay
        self.batch_norm: BatchNormPolicy = batch_norm or ("frozen" if classifier.pretrained else "joint")
        self.terms = TargetTerms(terms or {}, term_weights or {})
        self.terms.start(classifier)
        self.class_proportions = (
            ClassProportions(classifier.head.out_features, start=target_class_weights_from) if target_class_weights == "estimated" else None
        )
        self.batches_done = 0
        self.total_batches = 1
        self.step_losses = {}
        # Lightning leaves layers in the mode that they are in, and frozen batch norm has one of its own.
        self.train()

    def _check_options(self, terms: Mapping[str, TargetTerm] | None, *, estimates_weights: bool) -> None:
        """Refuses what asks for a domain, or for predictions, that the method does not have, and what works against each other."""
        if terms and not self.needs_target:
            raise ConfigError(f"method.terms ({', '.join(terms)}) need the target, which this method does not look at. Use method=dann.")
        if estimates_weights and not self.needs_target:
            raise ConfigError(
                "method.target_class_weights=estimated needs the target, which this method does not look at. Use method=dann."
            )
        if estimates_weights and not self.needs_source:
            raise ConfigError("method.target_class_weights=estimated weights the source, which this method does not have. Use method=dann.")
        if self.self_supervised and (terms or estimates_weights):
            key = "terms" if terms else "target_class_weights=estimated"
            raise ConfigError(f"method.{key} looks at predictions, and this method trains no head that makes them. Use method=dann.")
        if self.soft_labels.changes_labels and (self.self_supervised or not self.needs_source):
            raise ConfigError(
                "method.mixup, cutmix, label_smoothing and class_weights are for labelled source images, of which this method sees none. "
                "Set them for the run that trains what it starts from."
            )
        if estimates_weights and (self.soft_labels.mix is not None or self.soft_labels.has_weights):
            raise ConfigError(
                "method.target_class_weights=estimated learns from images of one class how much each class should count. "
                "Leave it out, or method.mixup, cutmix and class_weights."
            )

    @abstractmethod
    def losses(self, batch: DomainBatch, source: Prediction, target: Prediction | None) -> dict[str, Tensor]:
        """Losses by name, already weighted; training minimises their sum.

        Args:
            batch: The images, and the labels of the source.
            source: Predictions for the source images; of none where `needs_source` is False.
            target: Predictions for the target's first view; None only where `needs_target` is False.
        """

    def take_turns(self, batch: DomainBatch) -> None:
        """What a method that alternates does before the predictions that its losses are given: passes and `extra_step`s of its own."""

    def train_adversary(self, batch: DomainBatch, source: Prediction, target: Prediction | None) -> None:
        """What a method that alternates does between its predictions and its losses: `extra_step`s of its own networks."""

    def extra_step(self, loss: Tensor, parameters: Iterable[nn.Parameter]) -> None:
        """Descends on a loss in these parameters alone, with the optimizer of all; the step on `losses` follows.

        Raises:
            ConfigError: If gradients are accumulated, which the step would mix up.
        """
        if self.trainer.accumulate_grad_batches != 1:
            raise ConfigError("This method takes several steps for a batch and cannot accumulate: set trainer.accumulate_grad_batches=1.")
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        chosen = list(parameters)
        self.step_losses = {"extra_step": loss.detach()}
        gradients = torch.autograd.grad(_spread(loss), chosen)
        # Parameters without a gradient stay as they are, and so does what the optimizer remembers of them. Those of the
        # step before are still there: Lightning clears them only after the training_step that follows.
        optimizer.zero_grad()
        for parameter, gradient in zip(chosen, gradients, strict=True):
            # Lightning averages over devices only what it sees of a step.
            parameter.grad = self.trainer.strategy.reduce(gradient, reduce_op="mean")
        # As Lightning does before the steps that it takes itself.
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            callback.on_before_optimizer_step(self.trainer, self, optimizer)
        self.clip_gradients(optimizer)
        optimizer.step()
        optimizer.zero_grad()
        # Under autocast, passes that follow would use copies of the weights from before the step.
        torch.clear_autocast_cache()

    @property
    def needs_images(self) -> bool:
        """Whether features in place of images do not do."""
        return self.looks_into_backbone or self.soft_labels.mix is not None

    @property
    def fewest_images(self) -> int:
        """How many images of each domain a batch must have at least, so that there is something to compare them with."""
        return 2 if self.needs_pairs or self.aligns_features else 1

    @property
    def progress(self) -> float:
        """How much of the training is done, in [0, 1]; a resumed run continues where it was."""
        return min(self.batches_done / self.total_batches, 1.0)

    def predict_domains(self, batch: DomainBatch) -> tuple[Prediction, Prediction | None]:
        if batch.target is None:
            return self.classifier(batch.source.inputs), None
        return predict_domains(self.classifier, batch.source.inputs, batch.target.views[0], batch_norm=self.batch_norm)

    def predict_all(self, batch: DomainBatch) -> tuple[Prediction, Prediction | None, Prediction | None]:
        """Predictions for both domains, and for the target's labelled images, if there are any.

        Too few for statistics of their own, these are normalised with the target, or with the source if the method is not
        given a target.
        """
        if batch.target_labelled is None:
            return *self.predict_domains(batch), None
        few = batch.target_labelled.inputs
        if batch.target is None:
            images = torch.cat([batch.source.inputs, few])
            both, _ = self.predict_domains(batch._replace(source=Labelled(images, batch.source.labels)))
            return _rows(both, 0, -len(few)), None, _rows(both, -len(few), None)
        views = [torch.cat([batch.target.views[0], few])]
        source, both_targets = self.predict_domains(batch._replace(target=Unlabelled(views)))
        assert both_targets is not None
        return source, _rows(both_targets, 0, -len(few)), _rows(both_targets, -len(few), None)

    def term_losses(self, batch: DomainBatch, target: Prediction | None) -> dict[str, Tensor]:
        """The weighted terms by name; a second view of the target is predicted only if one asks for it."""
        if batch.target is None or target is None or not self.terms:
            return {}
        offered = {"progress": self.progress, "classifier": self.classifier, "images": batch.target.views[0]}
        if self.terms.need_strong_view:
            # Evaluation sees images as they are, so only they make the running statistics.
            with fixed_statistics(self.classifier):
                offered["strong_logits"] = self.classifier(batch.target.views[1]).logits
        losses: dict[str, Tensor] = self.terms(target.logits, offered)
        return losses

    def training_step(self, batch: DomainBatch, batch_idx: int) -> Tensor:
        try:
            losses = self.step_on(batch)
        except (ArithmeticError, ValueError, RuntimeError) as error:
            if not isinstance(error, NotFiniteError | LinAlgError) and self._is_finite(batch):
                raise
            # What cannot be computed of numbers that are not finite counts as a loss that is not.
            reached = torch.stack([parameter.sum() for parameter in self.parameters() if parameter.requires_grad])
            losses = {f"not computed, as {str(error).splitlines()[0].rstrip('.')}:": torch.nan * reached.sum()}
        total = torch.stack(list(losses.values())).sum()
        self.step_losses = {name: loss.detach() for name, loss in losses.items()}
        self.log_dict({f"loss/{name}": loss for name, loss in self.step_losses.items()}, batch_size=len(batch.source.inputs))
        self.log("loss/total", total.detach(), prog_bar=True, batch_size=len(batch.source.inputs))
        self.batches_done += 1
        return _spread(total)

    def step_on(self, batch: DomainBatch) -> dict[str, Tensor]:
        """The losses of a batch by name, already weighted, after all `extra_step`s on it."""
        if self.class_proportions is not None:
            batch = batch._replace(source=self.class_proportions.resample(batch.source, progress=self.progress))
        classes = batch.source.labels
        batch = batch._replace(source=self.soft_labels(batch.source))
        self.take_turns(batch)
        source, target, few = self.predict_all(batch)
        if self.class_proportions is not None and target is not None:
            self.class_proportions.update(source.logits, classes, target.logits)
            weights = self.class_proportions.weights()
            self.log_dict({"label_shift/max_weight": weights.max(), "label_shift/min_weight": weights.min()})
        self.train_adversary(batch, source, target)
        losses = self.losses(batch, source, target) | self.term_losses(batch, target)
        if few is not None and batch.target_labelled is not None:
            losses["target_classification"] = F.cross_entropy(few.logits, batch.target_labelled.labels)
        return losses

    @torch.no_grad()
    def _is_finite(self, batch: DomainBatch) -> bool:
        """Whether all weights are finite, and what the classifier says of a batch; reads them from the device."""
        with fixed_statistics(self):
            predictions = [prediction for prediction in self.predict_domains(batch) if prediction is not None]
        tensors = [*self.parameters(), *(tensor for prediction in predictions for tensor in prediction)]
        return all(bool(tensor.isfinite().all()) for tensor in tensors)

    def log(self, name: str, value: Any, **options: Any) -> None:  # type: ignore[override]
        """As Lightning does it, but in training only in steps that are written and the last of an epoch: it costs as much as a layer."""
        trainer = self.trainer
        written = (self.batches_done + 1) % max(trainer.log_every_n_steps, 1) == 0 or trainer.is_last_batch  # type: ignore[attr-defined]
        if written or not trainer.training or trainer.accumulate_grad_batches > 1:
            super().log(name, value, **options)

    def predict_step(self, batch: Labelled | Unlabelled, batch_idx: int, dataloader_idx: int = 0) -> Prediction:
        prediction: Prediction = self.classifier(batch.inputs)
        return prediction

    validation_step = predict_step  # type: ignore[assignment]
    test_step = predict_step  # type: ignore[assignment]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The classifier's groups and one for what the method adds to it, such as a discriminator."""
        groups = self.classifier.parameter_groups(backbone_rate=self.backbone_rate, layer_decay=self.layer_decay)
        inside = {id(parameter) for parameter in self.classifier.parameters()}
        added = [p for p in self.parameters() if p.requires_grad and id(p) not in inside]
        return [*groups, {"name": "method", "rate": 1.0, "params": added}] if added else groups

    def build_optimizer(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Return an optimizer of these groups.

        Raises:
            ConfigError: If the optimizer refuses its settings.
        """
        try:
            return self.make_optimizer(groups)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"The optimizer cannot be built: {str(error).rstrip('.')}. Change the keys of optimizer.") from error

    def configure_optimizers(self) -> Any:
        groups = self.parameter_groups()
        rates = [group.pop("rate") for group in groups]
        optimizer = self.build_optimizer(groups)
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
        # A run that is continued may have another length, rate or schedule than before.
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, LambdaLR):
            for group, rate in zip(scheduler.optimizer.param_groups, scheduler.base_lrs, strict=True):
                group["lr"] = rate * self.schedule(self.progress)
        if self.soft_labels.is_balanced:
            self.soft_labels.balance(trainer.datamodule.domains.source.train.labels.to(self.device))  # type: ignore[attr-defined]

    def on_validation_start(self) -> None:
        """Running statistics are each process's own; what is judged is to be one model, that of the checkpoint."""
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, src=0)

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


def _spread(loss: Tensor) -> Tensor:
    """The loss itself, whose gradients are NaN where it is not finite, so that who looks at the gradients sees it."""
    return loss * (1 + 0 * loss.detach())


def _rows(prediction: Prediction, start: int, end: int | None) -> Prediction:
    return Prediction(prediction.features[start:end], prediction.logits[start:end])
