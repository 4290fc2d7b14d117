"""Test-time entropy minimisation (Tent)."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from acclimate.errors import ConfigError
from acclimate.inputs import Inputs, count, each_tensor
from acclimate.losses.target_predictions import entropy_minimisation
from acclimate.methods.base import Method
from acclimate.methods.core.optimisation import build_optimizer, refuse_layer_rates
from acclimate.methods.parts.collapse_guard import CollapseGuard
from acclimate.models.batch_norm import adaptable_batch_norms
from acclimate.models.classifier import Classifier
from acclimate.ranges import ShareBelowOne
from acclimate.types import DomainBatch, Labelled, LabelledPass, Needs, Prediction, Unlabelled, UnlabelledPass


class Tent(Method):
    """Test-time entropy minimisation: adapt the scales and shifts of batch norm in a trained classifier to the target.

    Wang et al., "Tent: Fully Test-Time Adaptation by Entropy Minimization", ICLR 2021: each batch is normalised by its own
    statistics and predicted, then a step is taken on the entropy of these predictions; all other weights are fixed.

    Training is such a stream over the target's training inputs; each validation uses the current classifier. Testing gives
    two accuracies. `target/test_accuracy` is that of the selected classifier without further adaptation, which is also what
    `acclimate predict` uses. `target/online_test_accuracy` is that of the paper: the stream of test inputs starts from the
    selected classifier, every batch is predicted before the step on it, and the selected classifier is restored afterwards.
    It depends on the order of the test inputs and on `data.eval_batch_size`. A batch of one input has no statistics: it is
    predicted with the running ones, and no step is taken.

    Departure: entropy is lowest if all inputs get the same class, so a `CollapseGuard` is added, which the paper does not
    have.

    Args:
        classifier: A trained model with batch norm.
        collapse_share: Share of the highest diversity below which predictions have collapsed, in [0, 1); 0 disables the
            guard.
        **common: Arguments of `Method`, without learning rates of layers.

    Raises:
        ConfigError: If the model has no batch norm that is not frozen, or there are such rates.
    """

    needs = Needs(source="none", trained_features=False, target_labels=False)

    def __init__(self, classifier: Classifier, *, collapse_share: ShareBelowOne = 0.5, **common: Any) -> None:
        refuse_layer_rates(common)
        super().__init__(classifier, **common)
        layers = [] if self.batch_norm == "frozen" else [layer for layer in adaptable_batch_norms(classifier) if layer.affine]
        if not layers:
            raise ConfigError("This method adapts batch norm, but the model has no batch norm that is not frozen. Use method=shot.")
        classifier.requires_grad_(False)
        self.affine = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
        for parameter in self.affine:
            parameter.requires_grad_(True)
        self.selected: list[dict[str, Any]] = []
        self.streamed: list[dict[str, Any]] = []
        self.guard = CollapseGuard(self.affine, classifier.head.out_features, share=collapse_share)

    def parameter_groups(self) -> list[dict[str, Any]]:
        # As in the published code: one rate for all layers, and no weight decay, which would pull the scales to 0.
        return [{"name": "batch_norm", "rate": 1.0, "params": self.affine, "weight_decay": 0.0}]

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        self.guard.watch(target.logits)
        return {"entropy": entropy_minimisation(target.logits)}

    def before_pass(self, batch: DomainBatch) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        self.log("adaptation/diversity", self.guard.diversity)
        self._mend(optimizer)

    def _mend(self, optimizer: Optimizer) -> None:
        """Restore the initial weights after a collapse, and clear the optimizer's state."""
        if self.guard.has_collapsed:
            self.guard.put_back(self.affine)
            optimizer.state.clear()

    def on_test_start(self) -> None:
        self.selected = self._adapted_state()
        self.num_right = self.num_seen = 0

    def on_test_epoch_end(self) -> None:
        if self.num_seen:
            self.log("target/online_test_accuracy", self.num_right / self.num_seen)

    def test_step(  # type: ignore[override]
        self, batch: Labelled | Unlabelled, batch_idx: int, dataloader_idx: int = 0
    ) -> Prediction:
        online = self.predict_online(batch.inputs, starts=batch_idx == 0)
        if isinstance(batch, Labelled):
            self.num_right += int((online.logits.argmax(dim=1) == batch.labels).sum())
            # Of several targets, some may have no labels, which are then negative.
            self.num_seen += int((batch.labels >= 0).sum())
        return self.predict_step(batch, batch_idx, dataloader_idx)

    def predict_online(self, inputs: Inputs, *, starts: bool) -> Prediction:
        """Predict the next batch of a stream and adapt to it; between batches the classifier is the selected one."""
        # Lightning tests in inference mode, which allows no gradients.
        with torch.inference_mode(False), torch.enable_grad():
            if starts:
                self.guard.forget()
                self.stream_optimizer = build_optimizer(self.make_optimizer, [{"params": self.affine, "weight_decay": 0.0}])
            else:
                self._load_adapted_state(self.streamed)
            prediction = self.predict_and_step(each_tensor(Tensor.clone, inputs), self.stream_optimizer)
            self.streamed = self._adapted_state()
            self._load_adapted_state(self.selected)
        return prediction

    def _adapted_modules(self) -> list[nn.Module]:
        """Return all modules that a stream changes."""
        return [*adaptable_batch_norms(self.classifier), self.guard]

    def _adapted_state(self) -> list[dict[str, Any]]:
        return [copy.deepcopy(module.state_dict()) for module in self._adapted_modules()]

    def _load_adapted_state(self, states: list[dict[str, Any]]) -> None:
        for module, state in zip(self._adapted_modules(), states, strict=True):
            module.load_state_dict(state)

    def predict_and_step(self, inputs: Inputs, optimizer: Optimizer) -> Prediction:
        """Predict a batch of a stream, then adapt to it."""
        self._mend(optimizer)
        layers = adaptable_batch_norms(self.classifier)
        for layer in layers:
            layer.train(count(inputs) > 1)
        prediction: Prediction = self.classifier(inputs)
        if count(inputs) > 1:
            self.guard.watch(prediction.logits)
            optimizer.zero_grad()
            entropy_minimisation(prediction.logits).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()
        for layer in layers:
            layer.eval()
        return Prediction(*(tensor.detach() for tensor in prediction))
