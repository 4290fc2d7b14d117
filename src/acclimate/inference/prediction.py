"""Predictions of a trained run for a folder or a table of inputs."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from acclimate.inference.predictor import Predictor
from acclimate.runs.checkpoints import Checkpoint


class NamedPrediction(NamedTuple):
    """The prediction for one input; the confidence is the probability of the label, in [0, 1]."""

    name: str
    label: str
    confidence: float


def predict(
    checkpoint: Checkpoint, place: Path, *, trust: Collection[str] = (), max_pixels: int | None = None, batch_size: int | None = None
) -> list[NamedPrediction]:
    """Predict all inputs of a folder or a file.

    Args:
        checkpoint: A checkpoint from `read_checkpoint`.
        place: A folder of images or a table of vectors, depending on the kind of input that the model was trained on.
        trust: Modules or full names of targets that are allowed in addition to those of this package.
        max_pixels: Largest number of pixels of an image; None: that of the run.
        batch_size: Inputs per batch; None: that of the run's evaluation.

    Returns:
        The predictions, for images in the order of their paths, for vectors in the order of the rows.

    Raises:
        ConfigError: If the batches do not fit into memory.
        DataError: If there are no inputs, or one cannot be read.
        DivergenceError: If a prediction is not finite.
    """
    predictor = Predictor(checkpoint, trust=trust)
    kind = predictor.kind if max_pixels is None else predictor.kind.changed(max_pixels=max_pixels)
    samples, names = kind.find(place)
    labels, probabilities, _ = predictor.predict_samples(samples, batch_size=batch_size)
    confidences = probabilities.max(dim=1).values.tolist()
    return [NamedPrediction(*row) for row in zip(names, labels, confidences, strict=True)]
