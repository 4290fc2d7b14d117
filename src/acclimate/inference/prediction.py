"""What a trained run says of images that have no place in it."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from acclimate.data.images.image_files import MAX_PIXELS, ImageFiles, find_files, keep_whole_images
from acclimate.data.images.views import View, shorter_side
from acclimate.data.loaders import EvaluationBatches
from acclimate.errors import DataError, DivergenceError
from acclimate.memory import explain_out_of_memory
from acclimate.models.classifier import Classifier
from acclimate.runs.checkpoints import Checkpoint, rebuild_classifier
from acclimate.types import Prediction, Unlabelled


class ImagePrediction(NamedTuple):
    """What the model says of one image; the confidence is the probability of the label, in [0, 1]."""

    image: str
    label: str
    confidence: float


def predict(
    checkpoint: Checkpoint, folder: Path, *, trust: Collection[str] = (), max_pixels: int | None = None, batch_size: int | None = None
) -> list[ImagePrediction]:
    """Labels for all images below a folder, in the order of their relative paths.

    Args:
        checkpoint: As `read_checkpoint` gives it.
        folder: Where the images are.
        trust: Modules or full names of targets that the model may be built from beside those of this package.
        max_pixels: That an image may have; None takes what the run was told, or else `MAX_PIXELS`.
        batch_size: Images that the model looks at together; None takes what the run was told for its evaluation.

    Raises:
        ConfigError: If the memory does not suffice for the batches.
        DataError: If there are no images, or a file is not a whole image.
        DivergenceError: If a prediction is not finite.
    """
    paths = find_files(folder)
    if not paths:
        raise DataError(f"There are no images in {folder}. Type images=DIR.")
    config = checkpoint["config"]
    image_size, crop = checkpoint["image_size"], config["data"].get("crop", 1.0)
    limit = max_pixels or config["data"].get("max_pixels", MAX_PIXELS)
    whole = keep_whole_images(paths, config["data"].get("on_bad_image", "error"), limit)
    images = ImageFiles(whole, None, shorter_side=shorter_side(image_size, crop), max_pixels=limit)
    view = View("plain", image_size=image_size, crop=crop)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = batch_size or config["data"].get("eval_batch_size", 256)
    lower = f"Type a lower batch_size, such as batch_size={max(size // 2, 1)}."
    with explain_out_of_memory(config, {"batch_size": size}, lower):
        classifier = rebuild_classifier(checkpoint, trust).to(device)
        rows = _predict(classifier, EvaluationBatches(images, view, batch_size=size, labelled=False), images.paths, device)
    return [
        ImagePrediction(path.relative_to(folder).as_posix(), checkpoint["classes"][label], confidence)
        for path, (confidence, label) in zip(images.paths, rows, strict=True)
    ]


def _predict(classifier: Classifier, batches: EvaluationBatches, paths: Sequence[Path], device: torch.device) -> list[tuple[float, int]]:
    """The confidence and the label of each image."""
    rows: list[tuple[float, int]] = []
    for number in range(len(batches)):
        batch = batches[number]
        assert isinstance(batch, Unlabelled)
        with torch.inference_mode():
            prediction: Prediction = classifier(batch.views[0].to(device))
        confidences, labels = prediction.logits.softmax(dim=1).max(dim=1)
        wrong = (~confidences.isfinite()).nonzero()
        if len(wrong):
            image = paths[len(rows) + int(wrong[0])]
            raise DivergenceError(
                f"The prediction for {image} is not finite: the image holds such values, or the training of the run has diverged. "
                "Use another run, or train it again with a lower optimizer.lr."
            )
        rows += zip(confidences.tolist(), labels.tolist(), strict=True)
    return rows
