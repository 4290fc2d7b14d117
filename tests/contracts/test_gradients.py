"""Every parameter of every method learns, and what aligns the domains reaches the backbone."""

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from small_runs import METHODS, SELF_SUPERVISED, build_method, compose, losses_by_name

from acclimate.errors import ConfigError
from acclimate.training import assembly

# Parameters that no gradient reaches, each for a reason.
CANCELLED_BY_BATCH_NORM = {"classifier.bottleneck.0.bias"}
FROZEN: dict[str, set[str]] = {
    # The other factor starts at zero, so they wait for the second step: see test_low_rank_updates.py.
    "lora": {f"classifier.backbone.body.{layer}.parametrizations.weight.0.down" for layer in (0, 4, 8)},
}
# Losses that train what is new and must not touch the backbone, by method.
NOT_FOR_THE_BACKBONE: dict[str, set[str]] = {
    # The decay of new layers.
    "l2_sp": {"shrinkage"},
    "delta": {"shrinkage"},
}
HEAD = {"head.weight", "head.bias"}
# What a method keeps on purpose of the classifier behind the backbone.
KEPT = {
    **dict.fromkeys(SELF_SUPERVISED, HEAD),
    "shot": HEAD,
    "ada_bn": {"bottleneck.0.weight", "bottleneck.1.weight", *HEAD},
    "tent": {"bottleneck.0.weight", *HEAD},
}
# Methods that change no weights, but the statistics of batch norm.
WITHOUT_LOSSES = {"ada_bn"}
# Where a network that has not been trained would align nothing, and why.
UNTRAINED: dict[str, tuple[str, ...]] = {
    # It is confident of nothing.
    "fixmatch": ("method.terms.fixmatch.threshold=0",),
    "dann_mcc_fixmatch": ("method.terms.fixmatch.threshold=0",),
    "mean_teacher": ("method.terms.mean_teacher.threshold=0",),
    "pseudo_label": ("method.terms.pseudo_label.threshold=0",),
}


class Step(Callback):
    """Compares the parameters before and after the first batch that is trained here."""

    def on_train_start(self, trainer, method):
        self.before = {name: parameter.detach().clone() for name, parameter in method.named_parameters() if parameter.requires_grad}
        self.reached = set()
        # Of the optimizer and not of Lightning, which sees only one of the steps of methods that alternate.
        trainer.optimizers[0].register_step_post_hook(lambda *arguments: self.note_gradients(method))

    def on_train_batch_start(self, trainer, method, batch, number):
        self.progress = method.progress

    def note_gradients(self, method):
        self.reached |= {name for name, parameter in method.named_parameters() if parameter.grad is not None and parameter.grad.any()}

    def on_train_batch_end(self, trainer, method, *rest):
        after = dict(method.named_parameters())
        self.moved = {name for name, parameter in self.before.items() if not torch.equal(parameter, after[name])}
        trainer.should_stop = True


# Plain SGD moves nothing that has no gradient, which weight decay or momentum would.
PLAIN = ("optimizer=sgd", "optimizer.weight_decay=0", "optimizer.momentum=0", "optimizer.nesterov=false", "scheduler=constant")


@pytest.mark.parametrize("method", METHODS)
def test_every_trainable_parameter_gets_a_gradient_and_moves(archives, tmp_path, method):
    parts = assembly.build(
        compose(tmp_path, *archives, f"method={method}", *PLAIN, "optimizer.lr=0.1", "trainer.max_steps=10", "callbacks={}")
    )
    step = Step()
    parts.trainer.callbacks.insert(0, step)
    # Half way, where no ramp is zero.
    parts.method.batches_done = 5
    parts.trainer.fit(parts.method, parts.data)
    assert step.progress == 0.5
    learns = set(step.before) - CANCELLED_BY_BATCH_NORM - FROZEN.get(method, set())
    assert learns <= step.reached
    assert learns <= step.moved


@pytest.mark.parametrize("method", METHODS)
def test_every_loss_but_the_task_s_aligns_or_regularises_the_backbone(archives, tmp_path, method):
    parts, batch = build_method(compose(tmp_path, *archives, f"method={method}", *UNTRAINED.get(method, ())))
    backbone = [parameter for parameter in parts.method.classifier.backbone.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for parameter in backbone:
            # Away from the starting point, where the distance to it has no gradient.
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    losses = losses_by_name(parts.method, batch)
    further = set(losses) - {"classification"}
    # Without a target, what is further regularises.
    assert further or not parts.method.needs.target or method in WITHOUT_LOSSES
    for name in further - NOT_FOR_THE_BACKBONE.get(method, set()):
        gradients = torch.autograd.grad(losses[name], backbone, retain_graph=True, allow_unused=True)
        assert any(gradient is not None and gradient.any() for gradient in gradients), name


class OtherTarget(Callback):
    """Callback that puts the negatives of the target images in their place."""

    def on_train_batch_start(self, trainer, method, batch, number):
        if batch.target is not None:
            batch.target.views[:] = [255 - view for view in batch.target.views]


@pytest.mark.parametrize("method", METHODS)
def test_backbone_depends_on_the_target_if_and_only_if_the_method_looks_at_it(archives, tmp_path, method):
    """Also in methods whose extra steps, and not their losses, see the target."""
    backbones = []
    for name, callbacks in (("as_it_is", []), ("other", [OtherTarget()])):
        # Joint batch norm would let target images change the features of the source. One step of ten, half way, where no ramp is zero.
        options = (*PLAIN, "optimizer.lr=0.01", "method.batch_norm=separate", "trainer.max_steps=10", "callbacks={}")
        parts = assembly.build(compose(tmp_path / name, *archives, f"method={method}", *options, *UNTRAINED.get(method, ())))
        parts.trainer.callbacks[:0] = [*callbacks, Step()]
        parts.method.batches_done = 5
        parts.trainer.fit(parts.method, parts.data)
        assert parts.method.batches_done == 6
        backbone = parts.method.classifier.backbone
        backbones.append(list(backbone.buffers() if method in WITHOUT_LOSSES else backbone.parameters()))
    is_same = all(torch.equal(first, second) for first, second in zip(*backbones, strict=True))
    assert is_same != parts.method.needs.target


@pytest.mark.parametrize("method", METHODS)
def test_every_loss_is_a_finite_scalar(archives, tmp_path, method):
    parts, batch = build_method(compose(tmp_path, *archives, f"method={method}"))
    for name, loss in losses_by_name(parts.method, batch).items():
        assert loss.shape == (), name
        assert loss.isfinite(), name


def test_linear_probe_leaves_the_backbone_and_its_statistics_alone(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=linear_probe", "trainer.max_steps=3", "callbacks={}"))
    before = {name: value.clone() for name, value in parts.method.classifier.backbone.state_dict().items()}
    head = parts.method.classifier.head.weight.detach().clone()
    parts.trainer.fit(parts.method, parts.data)
    after = parts.method.classifier.backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not torch.equal(head, parts.method.classifier.head.weight)


# stoch_norm is about the statistics of a backbone that trains, and refuses a frozen one.
@pytest.mark.parametrize("method", [method for method in METHODS if method != "stoch_norm"])
def test_every_method_trains_what_is_behind_a_frozen_backbone(archives, tmp_path, method):
    """Also of linear_probe and fine_tune: their own backbone rate does not thaw it."""
    frozen = ("model.freeze=backbone", "model.bottleneck=8", "trainer.max_steps=3", "callbacks={}")
    parts = assembly.build(compose(tmp_path, *archives, f"method={method}", *frozen))
    classifier = parts.method.classifier
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    parts.trainer.fit(parts.method, parts.data)
    moved = {name for name, value in classifier.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in moved if name.startswith("backbone.")}
    assert {"bottleneck.0.weight", "head.weight"} - KEPT.get(method, set()) <= moved
    assert not moved & KEPT.get(method, set())


@pytest.mark.parametrize("method", ["dann", "dan", "mcd"])
def test_alignment_of_features_that_cannot_move_is_refused(archives, tmp_path, method):
    with pytest.raises(ConfigError, match=r"backbone is frozen .* model\.bottleneck=256"):
        assembly.build(compose(tmp_path, *archives, f"method={method}", "model.freeze=backbone", "model.bottleneck=null"))


def test_terms_alone_train_the_head_behind_a_frozen_backbone(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=mcc", "model.freeze=backbone", "model.bottleneck=null"))
    assert [group["name"] for group in parts.method.parameter_groups()] == ["head"]
