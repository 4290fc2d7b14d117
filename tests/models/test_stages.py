"""Stages: every parameter in one of them, in the order of depth, for all kinds of backbones."""

import pytest
import timm
import torch
from torch import nn

from acclimate.inputs import ANY_SIZE
from acclimate.models.backbones.image import ImageBackbone
from acclimate.models.backbones.pretrained import efficientnet_lite0, torchvision_backbone
from acclimate.models.backbones.small_cnn import small_cnn
from acclimate.models.classifier import Classifier
from acclimate.models.stages import recorded_outputs, stages, weighted_layers

BODIES = {
    "small_cnn": lambda: small_cnn().body,
    "efficientnet_lite0": lambda: efficientnet_lite0(None).body,
    "torchvision resnet18": lambda: torchvision_backbone(None, name="resnet18").body,
    "torchvision regnet_y_400mf": lambda: torchvision_backbone(None, name="regnet_y_400mf").body,
    "timm resnet10t": lambda: timm.create_model("resnet10t", num_classes=0),
    "timm convnext_atto": lambda: timm.create_model("convnext_atto", num_classes=0),
    "timm vit_tiny_patch16_224": lambda: timm.create_model("vit_tiny_patch16_224", num_classes=0),
    "timm swin_tiny_patch4_window7_224": lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=0),
}
# The name of the layer that each stage begins with.
EXPECTED = {
    "small_cnn": ["0", "4", "8"],
    "efficientnet_lite0": ["conv_stem", *(f"blocks.{number}" for number in range(7)), "conv_head"],
    "torchvision resnet18": ["conv1", "layer1", "layer2", "layer3", "layer4"],
    "torchvision regnet_y_400mf": ["stem", *(f"trunk_output.block{number}" for number in range(1, 5))],
    "timm resnet10t": ["conv1", "layer1", "layer2", "layer3", "layer4"],
    "timm convnext_atto": ["stem", "stages.0", "stages.1", "stages.2", "stages.3"],
    "timm vit_tiny_patch16_224": ["patch_embed", *(f"blocks.{number}" for number in range(12))],
    "timm swin_tiny_patch4_window7_224": ["patch_embed", *(f"layers.{number}" for number in range(4))],
}


@pytest.fixture(scope="module")
def body(request):
    return request.param, BODIES[request.param]()


@pytest.mark.parametrize("body", BODIES, indirect=True, scope="module")
def test_stages_are_those_that_the_architecture_names(body):
    name, network = body
    names = {id(layer): path for path, layer in network.named_modules()}
    assert [names[id(stage.layers[0])] for stage in stages(network)] == EXPECTED[name]


@pytest.mark.parametrize("body", BODIES, indirect=True, scope="module")
def test_every_parameter_and_every_batch_norm_is_in_one_stage(body):
    _, network = body
    found = stages(network)
    assert sorted(id(p) for stage in found for p in stage.parameters) == sorted(id(p) for p in network.parameters())
    inside = [id(part) for stage in found for layer in stage.layers for part in layer.modules() if isinstance(part, nn.BatchNorm2d)]
    assert sorted(inside) == sorted(id(part) for part in network.modules() if isinstance(part, nn.BatchNorm2d))


@pytest.mark.parametrize("body", BODIES, indirect=True, scope="module")
def test_outputs_are_recorded_in_the_order_of_computation(body):
    """So the order of the stages is that of depth."""
    _, network = body
    order: list[int] = []
    handles = []
    for number, stage in enumerate(stages(network)):
        handles.append(stage.layers[0].register_forward_hook(lambda *_, number=number: order.append(number)))
    with torch.no_grad(), recorded_outputs(weighted_layers(network.eval())) as outputs:
        network(torch.zeros(1, 3, 224, 224))
    for handle in handles:
        handle.remove()
    assert order == list(range(len(stages(network))))
    assert len(outputs) == len(order)


def test_embeddings_of_the_body_itself_are_in_the_first_stage():
    network = BODIES["timm vit_tiny_patch16_224"]()
    assert {id(network.cls_token), id(network.pos_embed)} <= {id(parameter) for parameter in stages(network)[0].parameters}


def test_a_layer_that_is_no_container_is_one_stage():
    layer = nn.Linear(2, 3)
    assert [stage.parameters for stage in stages(layer)] == [[layer.weight, layer.bias]]


def test_nothing_is_recorded_outside_of_the_context():
    network = BODIES["small_cnn"]()
    with recorded_outputs(weighted_layers(network)) as outputs:
        network(torch.zeros(2, 3, 32, 32))
    network(torch.zeros(2, 3, 32, 32))
    assert [tuple(output.shape) for output in outputs] == [(2, 32, 32, 32), (2, 64, 16, 16), (2, 128, 8, 8)]


def three_stages():
    first = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout()]
    body = nn.Sequential(*first, nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten())
    return Classifier(
        lambda weights, inputs: ImageBackbone(body, num_features=16, image_size=8), num_classes=3, inputs=ANY_SIZE, bottleneck=6
    )


@pytest.mark.parametrize("num", [0, 1, 2, 3])
def test_frozen_stages_keep_their_weights_and_run_as_in_evaluation(num):
    classifier = three_stages()
    classifier.freeze_stages(num)
    classifier.train()
    for number, stage in enumerate(stages(classifier.backbone.body)):
        assert {parameter.requires_grad for parameter in stage.parameters} == {number >= num}
        assert {layer.training for layer in stage.layers} == {number >= num}
    assert classifier.head.training and classifier.bottleneck.training and classifier.head.weight.requires_grad
    assert not any(layer.training for layer in classifier.eval().modules())


def test_stages_can_be_thawed_again():
    classifier = three_stages()
    classifier.freeze_stages(3)
    classifier.freeze_stages(1)
    classifier.train()
    frozen = {name for name, parameter in classifier.named_parameters() if not parameter.requires_grad}
    assert frozen == {f"backbone.body.{layer}.{kind}" for layer in (0, 1) for kind in ("weight", "bias")}
    assert classifier.backbone.body[5].training and not classifier.backbone.body[1].training


def test_rates_decay_from_the_head_to_the_image():
    groups = three_stages().parameter_groups(backbone_rate=0.5, layer_decay=0.1)
    assert [group["name"] for group in groups] == ["backbone_0", "backbone_1", "backbone_2", "head"]
    assert [group["rate"] for group in groups] == pytest.approx([0.0005, 0.005, 0.05, 1.0])


def test_groups_by_depth_hold_every_trainable_parameter_once():
    classifier = three_stages()
    classifier.freeze_stages(1)
    groups = classifier.parameter_groups(backbone_rate=1.0, layer_decay=0.5)
    assert [group["name"] for group in groups] == ["backbone_1", "backbone_2", "head"]
    grouped = sorted(id(parameter) for group in groups for parameter in group["params"])
    assert grouped == sorted(id(parameter) for parameter in classifier.parameters() if parameter.requires_grad)
