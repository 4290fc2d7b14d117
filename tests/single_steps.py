"""One step of a method on a tiny network in float64, beside the same step in plain torch."""

import copy
import functools
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from pytorch_lightning.plugins.precision import Precision
from torch import Tensor, nn
from torch.optim import Optimizer

from acclimate.config.signatures import parameters
from acclimate.extras.options import make_extras
from acclimate.inputs import ANY_SIZE
from acclimate.methods.base import Method
from acclimate.models.backbones.image import ImageBackbone
from acclimate.models.classifier import Classifier
from acclimate.schedules import constant
from acclimate.types import DomainBatch, Labelled, LabelledPass, Unlabelled, UnlabelledPass

NUM_CLASSES = 3
NUM_FEATURES = 6
RATE = 0.1
# Biases in front of batch norm, which no gradient reaches.
CANCELLED_BY_BATCH_NORM = {"classifier.bottleneck.0.bias", *(f"classifier.backbone.body.{layer}.bias" for layer in (0, 3, 6))}
UNEQUAL_SIZES = [(7, 4), (3, 8), (5, 5)]


class Objectives(NamedTuple):
    """Objectives of an algorithm.

    Args:
        losses: By name, as the method names them.
        classifier: Objective of the backbone, the bottleneck and the head.
        added: Objective of the method's own networks; None if there are none, or the algorithm has already trained them.
    """

    losses: dict[str, Tensor]
    classifier: Tensor
    added: Tensor | None = None


def classifier_of(body: nn.Module) -> Classifier:
    return Classifier(
        lambda weights, inputs: ImageBackbone(body, num_features=16, image_size=8),
        num_classes=NUM_CLASSES,
        inputs=ANY_SIZE,
        bottleneck=NUM_FEATURES,
    ).double()


def tiny_classifier() -> Classifier:
    return classifier_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()))


def deep_classifier() -> Classifier:
    """A tiny one whose backbone has three stages."""
    stages = [[nn.Conv2d(num, 4, 3), nn.BatchNorm2d(4), nn.ReLU()] for num in (3, 4, 4)]
    return classifier_of(nn.Sequential(*(layer for stage in stages for layer in stage), nn.Flatten()))


def tiny_batch(num_source: int = 7, num_target: int = 4) -> DomainBatch:
    generator = torch.Generator().manual_seed(1)
    source = torch.rand(num_source, 3, 8, 8, generator=generator, dtype=torch.float64)
    target = torch.rand(num_target, 3, 8, 8, generator=generator, dtype=torch.float64) ** 2
    return DomainBatch(Labelled(source, torch.arange(num_source) % NUM_CLASSES), Unlabelled([target]))


def two_views(num_source: int = 7, num_target: int = 4) -> DomainBatch:
    """A tiny batch with a second view of the target for terms that compare two."""
    batch = tiny_batch(num_source, num_target)
    generator = torch.Generator().manual_seed(2)
    strong = torch.rand(num_target, 3, 8, 8, generator=generator, dtype=torch.float64)
    assert batch.target is not None
    return batch._replace(target=Unlabelled([*batch.target.views, strong]))


def paired_views(num_source: int = 7, num_target: int = 4) -> DomainBatch:
    """Two views of a tiny batch's images of both domains, without any label."""
    batch = two_views(num_source, num_target)
    generator = torch.Generator().manual_seed(3)
    second = torch.rand(num_source, 3, 8, 8, generator=generator, dtype=torch.float64)
    return batch._replace(source=Labelled(batch.source.inputs, torch.empty(0, dtype=torch.int64), second))


def with_extras(options: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a method's class, including the extras for options of any method."""
    of_any = {name: options[name] for name in options.keys() & parameters(make_extras).keys()}
    return {name: value for name, value in options.items() if name not in of_any} | {"extras": make_extras(NUM_CLASSES, **of_any)}


def passes_with(batch: DomainBatch, source_features: Tensor, target_features: Tensor) -> tuple[LabelledPass, UnlabelledPass]:
    """The passes of a batch as if the classifier had made these features, and logits of 0."""
    logits = source_features.new_zeros(len(source_features) + len(target_features), NUM_CLASSES).split(
        [len(source_features), len(target_features)]
    )
    assert batch.target is not None
    return (
        LabelledPass(batch.source.views, batch.source.labels, source_features, logits[0]),
        UnlabelledPass(batch.target.views, batch.target.samples, target_features, logits[1]),
    )


def tiny_method(
    make: Callable[..., Method], *, progress: float = 0.5, classifier: Callable[[], Classifier] = tiny_classifier, **options: Any
) -> Method:
    """A method in training, so far as `progress` says; its `logged` holds what it logs."""
    torch.manual_seed(0)
    common = {"optimizer": functools.partial(torch.optim.SGD, lr=RATE), "schedule": constant, "batch_norm": "separate"}
    method = make(classifier(), **common, **with_extras(options)).double().train()
    method.total_batches, method.batches_done = 100, round(100 * progress)
    method.logged = {}
    method.log = lambda name, value, **_: method.logged.update({name: float(value() if callable(value) else value)})
    method.log_dict = lambda values, **_: [method.log(name, value) for name, value in values.items()]
    return method


def descend(loss: Tensor, parameters: Iterable[nn.Parameter]) -> None:
    """A step of an algorithm that takes several, at the rate of all."""
    chosen = list(parameters)
    gradients = torch.autograd.grad(loss, chosen)
    with torch.no_grad():
        for parameter, gradient in zip(chosen, gradients, strict=True):
            parameter.sub_(RATE * gradient)


def attach_optimizer(method: Method, *, accumulate: int = 1, clip: float | None = None, clip_by: str | None = None) -> Optimizer:
    """Give the method an optimizer, and of a trainer only what its extra steps look at."""
    optimizer: Optimizer = method.configure_optimizers()["optimizer"]
    method.trainer = SimpleNamespace(
        accumulate_grad_batches=accumulate,
        gradient_clip_val=clip,
        gradient_clip_algorithm=clip_by,
        precision_plugin=Precision(),
        strategy=SimpleNamespace(reduce=lambda gradient, **_: gradient),
        optimizers=[optimizer],
        callbacks=[],
    )
    return optimizer


def assert_same_step(method: Method, batch: DomainBatch, algorithm: Callable[[Method, DomainBatch], Objectives]) -> None:
    """Train the method for a batch, and a copy of its networks with what the algorithm minimises; losses and weights must be equal.

    An algorithm that alternates takes its earlier steps on the copy by itself and returns what the last one minimises.
    """
    twin = copy.deepcopy(method)
    objectives = algorithm(twin, batch)
    inside = [parameter for parameter in twin.classifier.parameters() if parameter.requires_grad]
    added = [parameter for name, parameter in twin.named_parameters() if not name.startswith("classifier.")]
    gradients = [*torch.autograd.grad(objectives.classifier, inside, retain_graph=True)]
    if objectives.added is None:
        added = []
    else:
        gradients += torch.autograd.grad(objectives.added, added)
    with torch.no_grad():
        for parameter, gradient in zip([*inside, *added], gradients, strict=True):
            parameter.sub_(RATE * gradient)

    before = copy.deepcopy(method.state_dict())
    optimizer = attach_optimizer(method)
    method.training_step(batch, 0).backward()
    optimizer.step()
    assert {f"loss/{name}": loss.item() for name, loss in objectives.losses.items()}.keys() == {
        name for name in method.logged if name.startswith("loss/") and name != "loss/total"
    }
    for name, loss in objectives.losses.items():
        torch.testing.assert_close(method.logged[f"loss/{name}"], loss.item(), rtol=1e-9, atol=1e-12)
    expected = dict(twin.named_parameters())
    for name, parameter in method.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-9, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")
        has_moved = not torch.equal(parameter, before[name])
        assert has_moved == parameter.requires_grad or name in CANCELLED_BY_BATCH_NORM, f"{name} has {'' if has_moved else 'not '}moved"
