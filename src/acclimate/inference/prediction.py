"""Predictions of a trained run for a folder or a table of inputs."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from acclimate.errors import BadInputError, DataError, more_bad_files
from acclimate.inference.predictor import Predictor
from acclimate.runs.checkpoints import Checkpoint


class NamedPrediction(NamedTuple):
    """The prediction for one input.

    Attributes:
        name: Path of the input, or number of the row.
        label: Name of the most probable class; empty for an input that cannot be read.
        confidence: Probability of the label, in [0, 1]; NaN for an input that cannot be read.
        problem: Reason why the input cannot be read; empty if it can.
    """

    name: str
    label: str
    confidence: float
    problem: str = ""


def predict(
    checkpoint: Checkpoint,
    places: Path | Sequence[Path],
    *,
    trust: Collection[str] = (),
    max_pixels: int | None = None,
    on_bad_image: str | None = None,
    batch_size: int | None = None,
    out: Path | None = None,
) -> list[NamedPrediction]:
    """Predict all inputs of folders or files.

    Args:
        checkpoint: A checkpoint from `read_checkpoint`.
        places: A folder of images or a table of vectors, depending on the kind of input that the model was trained on; or a
            list of images and folders.
        trust: Modules or full names of targets that are allowed in addition to those of this package.
        max_pixels: Largest number of pixels of an image; None: that of the run.
        on_bad_image: `error` refuses images that cannot be read, `skip` gives their reasons; None: that of the run.
        batch_size: Inputs per batch; None: that of the run's evaluation.
        out: The file that the predictions are written to, which must not be one of the inputs.

    Returns:
        The predictions, for a folder in the order of the paths, for a list in its order, for vectors in the order of the rows.

    Raises:
        ConfigError: If the batches do not fit into memory.
        DataError: If there are no inputs, or one cannot be read.
        DivergenceError: If a prediction is not finite.
    """
    predictor = Predictor(checkpoint, trust=trust)
    kind = predictor.kind_with(max_pixels=max_pixels, on_bad_image=on_bad_image)
    samples, names = kind.find(places) if isinstance(places, Path) else kind.find_all(places)
    _refuse_overwriting(out, [places] if isinstance(places, Path) else [], names)
    problems = kind.problems(samples)
    if problems and kind.settings().get("on_bad_image") != "skip":
        number, problem = min(problems.items())
        name = samples.name(number) or names[number]
        more = more_bad_files(len(problems) - 1)
        raise BadInputError(f"{name} {problem}, or give such files a row without a label: on_bad_image=skip.{more}", name, problem)
    found = predictor.predict_samples(samples, batch_size=batch_size, problems=problems)
    confidences = found.probabilities.max(dim=1).values.tolist()
    return [
        NamedPrediction(name, label, confidence, problems.get(number, ""))
        for number, (name, label, confidence) in enumerate(zip(names, found.labels, confidences, strict=True))
    ]


def _refuse_overwriting(out: Path | None, places: Sequence[Path], names: Sequence[str]) -> None:
    if out is None or not out.is_file():
        return
    paths = [*places, *(place / name for place in places for name in names), *map(Path, names)]
    if os.path.realpath(out) in {os.path.realpath(path) for path in paths}:
        raise DataError(f"out={out} is one of the inputs, which it would replace. Name another file: out=FILE.csv.")
