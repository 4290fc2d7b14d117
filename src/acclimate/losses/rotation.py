"""Prediction of image rotations."""

import torch
from torch import Tensor
from torch.nn import functional as F

from acclimate.losses.precision import in_float32

# 0, 90, 180 and 270 degrees: other angles need interpolation, whose artefacts would give the answer away.
NUM_ROTATIONS = 4


def rotations(images: Tensor) -> Tensor:
    """Rotate all images by 0, then all by 90, 180 and 270 degrees.

    Args:
        images: Shape (N, C, H, H).

    Returns:
        Shape (4N, C, H, H).

    Raises:
        ValueError: If the images are not square.

    >>> rotations(torch.tensor([[[[1, 2], [3, 4]]]])).flatten(1).tolist()
    [[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]]
    """
    if images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(f"square images of shape (N, C, H, H) are needed, but the shape is {tuple(images.shape)}")
    return torch.cat([images.rot90(quarter, dims=(2, 3)) for quarter in range(NUM_ROTATIONS)])


def rotation_labels(num_images: int, device: torch.device) -> Tensor:
    """Labels of the images of `rotations`: the number of quarter turns, int64, shape (4N,).

    >>> rotation_labels(2, torch.device("cpu")).tolist()
    [0, 0, 1, 1, 2, 2, 3, 3]
    """
    return torch.arange(NUM_ROTATIONS, device=device).repeat_interleave(num_images)


@in_float32
def rotation_prediction(logits: Tensor) -> Tensor:
    """Cross-entropy of predicting the rotation of each image.

    Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018: the mean over the
    images of the mean over their four rotations.

    Args:
        logits: Logits of the images in the order of `rotations`, shape (4N, 4), N at least 1. Computed in float32 at least.

    Returns:
        A scalar, at least 0; log 4 if all rotations get the same prediction.

    Raises:
        ValueError: If the shape is not (4N, 4).

    >>> round(float(rotation_prediction(torch.zeros(8, 4))), 4)
    1.3863
    """
    if logits.ndim != 2 or logits.shape[1] != NUM_ROTATIONS or not len(logits) or len(logits) % NUM_ROTATIONS:
        raise ValueError(f"logits of four rotations of each image, shape (4N, 4), are needed, but the shape is {tuple(logits.shape)}")
    labels = rotation_labels(len(logits) // NUM_ROTATIONS, logits.device)
    return F.cross_entropy(logits, labels)
