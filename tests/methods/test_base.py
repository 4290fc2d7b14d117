import functools
import math

import pytest
import torch
from pytorch_lightning.callbacks import Callback
from single_steps import (
    RATE,
    UNEQUAL_SIZES,
    Objectives,
    assert_same_step,
    deep_classifier,
    tiny_batch,
    tiny_classifier,
    tiny_method,
    with_extras,
)
from small_runs import compose
from torch.nn import functional as F

from acclimate.errors import ConfigError
from acclimate.methods.base import Method
from acclimate.methods.dann import Dann
from acclimate.schedules import constant
from acclimate.training import assembly
from acclimate.types import Labelled, Needs


def dann(**options):
    return Dann(tiny_classifier(), optimizer=functools.partial(torch.optim.SGD, lr=0.1), schedule=constant, **with_extras(options)).double()


def test_progress_is_the_share_of_batches_done_and_never_above_one():
    method = dann()
    method.total_batches = 8
    found = []
    for method.batches_done in (0, 2, 8, 9):
        found.append(method.progress)
    assert found == [0, 0.25, 1, 1]


def test_batches_done_travel_with_the_checkpoint():
    first, second, checkpoint = dann(), dann(), {}
    first.batches_done = 7
    first.on_save_checkpoint(checkpoint)
    second.on_load_checkpoint(checkpoint)
    assert second.batches_done == 7


class Rates(Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_start(self, trainer, method, batch, number):
        self.seen.append((method.progress, [group["lr"] for group in trainer.optimizers[0].param_groups]))


@pytest.mark.parametrize(
    ("limits", "num_batches"),
    [
        (("trainer.max_epochs=2",), 10),
        (("trainer.max_steps=7",), 7),
        (("trainer.max_epochs=2", "trainer.limit_train_batches=3"), 6),
        # Epochs of 5 batches: steps after batches 2, 4, 5 and 7.
        (("trainer.max_steps=4", "trainer.accumulate_grad_batches=2"), 7),
    ],
)
def test_learning_rates_and_progress_span_the_whole_training(archives, tmp_path, limits, num_batches):
    options = ("method=dann", "method.backbone_rate=0.1", "scheduler=inverse_decay", "optimizer.lr=0.5", "callbacks={}")
    parts = assembly.build(compose(tmp_path, *archives, *options, *limits))
    rates = Rates()
    parts.trainer.callbacks.insert(0, rates)
    parts.trainer.fit(parts.method, parts.data)
    accumulate = parts.trainer.accumulate_grad_batches
    assert [progress for progress, _ in rates.seen] == pytest.approx([number / num_batches for number in range(num_batches)])
    for number, (_, (backbone, head, added)) in enumerate(rates.seen):
        batches_at_last_step = number // 5 * 5 + number % 5 // accumulate * accumulate if accumulate > 1 else number
        assert head == pytest.approx(0.5 * (1 + 10 * batches_at_last_step / num_batches) ** -0.75)
        assert added == head
        assert backbone == pytest.approx(0.1 * head)
    assert parts.method.progress == 1.0


def test_training_without_an_end_is_refused(archives, tmp_path):
    parts = assembly.build(compose(tmp_path, *archives, "method=dann", "trainer.max_epochs=-1", "callbacks={}"))
    with pytest.raises(ConfigError, match=r"no end.* trainer\.max_epochs or trainer\.max_steps"):
        parts.trainer.fit(parts.method, parts.data)


def test_groups_hold_every_trainable_parameter_once():
    method = dann(backbone_rate=0.1)
    groups = {group["name"]: group for group in method.parameter_groups()}
    assert {name: group["rate"] for name, group in groups.items()} == {"backbone": 0.1, "head": 1.0, "method": 1.0}
    grouped = [id(parameter) for group in groups.values() for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in method.parameters())
    assert {id(p) for p in groups["method"]["params"]} == {id(p) for p in method.discriminator.parameters()}


def test_layer_decay_combines_with_an_adaptation_method():
    method = tiny_method(Dann, classifier=deep_classifier, backbone_rate=0.5, layer_decay=0.1)
    assert [group["name"] for group in method.parameter_groups()] == ["backbone_0", "backbone_1", "backbone_2", "head", "method"]
    rates = [group["lr"] / RATE for group in method.configure_optimizers()["optimizer"].param_groups]
    assert rates == pytest.approx([0.0005, 0.005, 0.05, 1.0, 1.0])
    grouped = [id(parameter) for group in method.parameter_groups() for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in method.parameters())


def test_layer_decay_of_a_frozen_backbone_leaves_the_head():
    assert [group["name"] for group in dann(backbone_rate=0.0, layer_decay=0.5).parameter_groups()] == ["head", "method"]


def test_backbone_rate_of_zero_freezes_the_backbone():
    method = dann(backbone_rate=0.0)
    assert [group["name"] for group in method.parameter_groups()] == ["head", "method"]
    assert not any(parameter.requires_grad for parameter in method.classifier.backbone.parameters())
    assert not any(layer.training for layer in method.train().classifier.backbone.modules())


def test_training_minimises_the_sum_of_weighted_losses():
    batch = tiny_batch()
    logged = {}
    method = dann(
        terms={"size": lambda logits: logits.square().mean(), "one": lambda logits: logits.new_ones(())}, term_weights={"size": 3.0}
    )
    method.log = lambda name, value, **_: logged.update({name: float(value() if callable(value) else value)})
    method.log_dict = lambda values, **_: logged.update({name: float(value) for name, value in values.items()})
    total = method.eval().training_step(batch, 0)
    expected = 3.0 * method.classifier(batch.target.views[0]).logits.square().mean()
    assert logged["loss/size"] == pytest.approx(expected.item())
    assert logged["loss/one"] == 1.0
    parts = [logged[f"loss/{name}"] for name in ("classification", "domain", "size", "one")]
    assert total.item() == pytest.approx(math.fsum(parts)) == logged["loss/total"]
    assert method.batches_done == 1


def test_frozen_batch_norm_stays_in_evaluation_mode_when_training():
    method = dann(batch_norm="frozen").train()
    layers = [layer for layer in method.classifier.modules() if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
    assert len(layers) == 2
    assert not any(layer.training for layer in layers)
    assert method.classifier.head.training


@pytest.mark.parametrize(("pretrained", "asked", "expected"), [(True, None, "frozen"), (False, None, "joint"), (True, "joint", "joint")])
def test_the_statistics_of_a_pretrained_backbone_stay_unless_something_is_said(pretrained, asked, expected):
    classifier = tiny_classifier()
    classifier.pretrained = pretrained
    method = Dann(classifier, optimizer=functools.partial(torch.optim.SGD, lr=0.1), schedule=constant, batch_norm=asked)
    assert method.batch_norm == expected
    assert classifier.backbone.training and classifier.backbone.body[1].training == (expected == "joint")


@pytest.mark.parametrize("method", ["fine_tune", "gradual_unfreeze", "layerwise_decay", "l2_sp", "bss", "co_tuning", "delta", "lora"])
def test_ways_of_fine_tuning_leave_the_statistics_of_a_pretrained_model(method, tmp_path):
    config = compose(tmp_path, "data.target=null", f"method={method}")["method"]
    assert config["batch_norm"] in (None, "frozen")


@pytest.mark.parametrize(("batch_norm", "moves"), [("frozen", False), ("joint", True)])
def test_a_whole_training_leaves_frozen_statistics_alone(archives, tmp_path, batch_norm, moves):
    """With validations in between, after which Lightning puts layers back into their modes."""
    options = ("method=dann", f"method.batch_norm={batch_norm}", "trainer.max_epochs=2", "callbacks={}")
    parts = assembly.build(compose(tmp_path, *archives, *options))
    before = {name: value.clone() for name, value in parts.method.classifier.named_buffers()}
    parts.trainer.fit(parts.method, parts.data)
    moved = {name for name, value in parts.method.classifier.named_buffers() if not torch.equal(value, before[name])}
    assert bool(moved) == moves


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": {"mcc": torch.sum}, "term_weights": {"mmc": 1.0}}, r"method\.term_weights names mmc, but method\.terms has mcc"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        dann(**options)


class Plain(Method):
    """Cross-entropy on the source and, if there is one, the entropy of the target."""

    needs = Needs(trained_features=False)

    def adaptation_losses(self, source, target):
        return {"entropy": -(target.logits.softmax(dim=1) * target.logits.log_softmax(dim=1)).sum(dim=1).mean()}


def with_labelled_target(batch, num=3):
    generator = torch.Generator().manual_seed(3)
    few = torch.rand(num, 3, 8, 8, generator=generator, dtype=torch.float64)
    return batch._replace(target_labelled=Labelled(few, torch.arange(num) % 3))


@pytest.mark.parametrize(("num_source", "num_target"), UNEQUAL_SIZES)
def test_labelled_target_images_are_normalised_with_the_target_and_add_their_cross_entropy(num_source, num_target):
    def algorithm(method, batch):
        source = method.classifier(batch.source.inputs)
        both = method.classifier(torch.cat([batch.target.views[0], batch.target_labelled.inputs]))
        target, few = both.logits[:num_target], both.logits[num_target:]
        losses = {
            "classification": F.cross_entropy(source.logits, batch.source.labels),
            "entropy": torch.distributions.Categorical(logits=target).entropy().mean(),
            "target_classification": F.cross_entropy(few, batch.target_labelled.labels),
        }
        return Objectives(losses, sum(losses.values()))

    assert_same_step(tiny_method(Plain), with_labelled_target(tiny_batch(num_source, num_target)), algorithm)


def test_without_a_target_batch_they_are_normalised_with_the_source():
    def algorithm(method, batch):
        both = method.classifier(torch.cat([batch.source.inputs, batch.target_labelled.inputs]))
        losses = {
            "classification": F.cross_entropy(both.logits[:7], batch.source.labels),
            "target_classification": F.cross_entropy(both.logits[7:], batch.target_labelled.labels),
        }
        return Objectives(losses, sum(losses.values()))

    assert_same_step(tiny_method(Plain), with_labelled_target(tiny_batch(7, 4))._replace(target=None), algorithm)


@pytest.mark.parametrize(("interval", "accumulated"), [(2, 1), (100, 1), (5, 2)])
def test_losses_are_logged_in_every_step_that_is_written_and_at_the_end_of_an_epoch(archives, tmp_path, interval, accumulated):
    written = []

    class Steps(Callback):
        def on_train_start(self, trainer, pl_module):
            trainer.logger.log_metrics = lambda metrics, step: written.append((step, "loss/total" in metrics)) if metrics else None

    class Seen(Callback):
        def on_validation_end(self, trainer, pl_module):
            assert "loss/total" in trainer.callback_metrics

    intervals = (f"trainer.log_every_n_steps={interval}", f"trainer.accumulate_grad_batches={accumulated}")
    options = ("trainer.max_epochs=2", *intervals, "method=source_only")
    parts = assembly.build(compose(tmp_path, *archives, *options, "logger=tensorboard"))
    parts.trainer.callbacks += [Steps(), Seen()]
    parts.trainer.fit(parts.method, parts.data)
    steps = [step for step, has_losses in written if has_losses]
    assert steps == list(range(interval - 1, parts.trainer.global_step, interval))
