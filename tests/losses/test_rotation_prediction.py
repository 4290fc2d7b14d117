"""The task of telling rotations apart: values by hand, invariances, gradients, extremes."""

import math

import pytest
import torch

from acclimate.losses.rotation import rotation_labels, rotation_prediction, rotations


def random_logits(num_images=3):
    return torch.randn(4 * num_images, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_every_image_is_turned_anticlockwise_by_a_quarter_more_each_time():
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
    turned = rotations(images)
    assert turned.dtype == torch.uint8
    for quarter, block in enumerate(turned.split(2)):
        again = block
        for _ in range(4 - quarter):
            # By hand: transposed, then upside down.
            again = again.transpose(2, 3).flip(2)
        assert torch.equal(again, images), quarter


def test_value_by_hand():
    # Of one image: three rotations are guessed at, the half turn is known with 3/4 + 1/16.
    logits = torch.zeros(4, 4)
    logits[2, 2] = math.log(13)
    assert rotation_prediction(logits).item() == pytest.approx((3 * math.log(4) + math.log(16 / 13)) / 4)


def test_labels_are_in_the_order_of_the_rotations():
    logits = torch.full((8, 4), -1e4)
    logits[torch.arange(8), rotation_labels(2, torch.device("cpu"))] = 1e4
    assert rotation_prediction(logits).item() == 0


def test_order_of_images_and_a_constant_do_not_matter():
    logits = random_logits()
    expected = rotation_prediction(logits)
    reordered = logits.reshape(4, 3, 4)[:, [2, 0, 1]].reshape(12, 4)
    torch.testing.assert_close(rotation_prediction(reordered), expected)
    torch.testing.assert_close(rotation_prediction(logits + 5), expected)
    assert rotation_prediction(logits.roll(3, dims=0)) != expected


def test_gradients_are_the_numerical_ones():
    assert torch.autograd.gradcheck(rotation_prediction, random_logits().requires_grad_())


@pytest.mark.parametrize("sign", [1, -1])
def test_bf16_logits_of_ten_thousand_give_finite_values_and_gradients(sign):
    logits = (sign * 1e4 * random_logits().sign()).bfloat16().requires_grad_()
    loss = rotation_prediction(logits)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(4, 3), (6, 4), (0, 4), (4,)])
def test_logits_that_are_not_of_four_rotations_are_refused(shape):
    with pytest.raises(ValueError, match="four rotations of each image"):
        rotation_prediction(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 4, 4), (2, 6)])
def test_images_that_are_not_square_are_refused(shape):
    with pytest.raises(ValueError, match="square images"):
        rotations(torch.zeros(shape))
