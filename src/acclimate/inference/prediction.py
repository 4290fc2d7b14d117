"""Predictions of a trained run for a folder of images."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from acclimate.data.images.image_files import ImageFiles, find_files, keep_whole_images
from acclimate.errors import DataError
from acclimate.inference.predictor import Predictor
from acclimate.runs.checkpoints import Checkpoint


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
    predictor = Predictor(checkpoint, trust=trust)
    limit = max_pixels or predictor.max_pixels
    whole = keep_whole_images(paths, checkpoint["config"]["data"].get("on_bad_image", "error"), limit)
    images = ImageFiles(whole, None, shorter_side=predictor.shorter_side, max_pixels=limit)
    labels, probabilities, _ = predictor.predict_set(images, lambda index: str(whole[index]), batch_size=batch_size)
    confidences = probabilities.max(dim=1).values.tolist()
    return [
        ImagePrediction(path.relative_to(folder).as_posix(), label, confidence)
        for path, label, confidence in zip(whole, labels, confidences, strict=True)
    ]
