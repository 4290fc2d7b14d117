import pytest
import torch
from single_steps import UNEQUAL_SIZES, Objectives, assert_same_step, paired_views, tiny_method

from acclimate.methods.rotation import Rotation


def turned(image, quarters):
    for _ in range(quarters):
        image = image.transpose(1, 2).flip(1)
    return image


def plain_rotation(method, batch):
    """Gidaris et al.: the mean over images of the mean over their four rotations, image by image."""
    classifier, head = method.classifier, method.rotation_head
    total = num_images = 0
    for images in (batch.source.inputs, batch.target.views[0]):
        copies = torch.stack([turned(image, quarters) for image in images for quarters in range(4)])
        probabilities = torch.softmax(head(classifier.bottleneck(classifier.backbone(copies))), dim=1)
        for place, row in enumerate(probabilities):
            total = total - torch.log(row[place % 4]) / 4
        num_images += len(images)
    loss = total / num_images
    return Objectives({"rotation": loss}, classifier=loss, added=loss)


@pytest.mark.parametrize("sizes", UNEQUAL_SIZES)
def test_step_is_that_of_the_paper(sizes):
    assert_same_step(tiny_method(Rotation), paired_views(*sizes), plain_rotation)


def test_accuracy_is_logged_with_every_rotation_counted():
    method, batch = tiny_method(Rotation), paired_views()
    with torch.no_grad():
        method.rotation_head.weight.zero_()
        method.rotation_head.bias.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    method.losses(*method.passes(batch)[:2])
    assert method.logged["adaptation/rotation_accuracy"] == 0.25


def test_task_s_head_belongs_to_the_method():
    assert not any("rotation" in name for name, _ in tiny_method(Rotation).classifier.named_parameters())
