"""Test inputs that a model gets wrong or is least certain of, as a folder to look at."""

import logging
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from acclimate.data.datamodule import AdaptationData
from acclimate.data.samples import NO_LABEL, Samples, named_domain
from acclimate.errors import StorageError
from acclimate.files.atomic_files import write_table
from acclimate.files.full_disk import explain
from acclimate.training.callbacks.final_predictions import FinalPredictions
from acclimate.types import Domain

log = logging.getLogger(__name__)

TABLE = "mistakes.csv"
HEADINGS = ("domain", "list", "label", "prediction", "confidence", "sample", "file")
# More files than anybody looks at; the table has all mistakes.
MAX_MISTAKES = 200
NUM_UNCERTAIN = 50
# Of the name of each class; a file name has at most 255.
MAX_BYTES = 80


class _Shown(NamedTuple):
    """A test input: its list, its row in the test part, and the names of its classes."""

    group: str
    row: int
    label: str
    prediction: str
    confidence: float

    def file_name(self) -> str:
        """Return a file name that is safe whatever the names of the classes are."""
        words = [
            re.sub(r"[^\w+.-]|^[.-]", "_", name).encode()[:MAX_BYTES].decode(errors="ignore")
            for name in (self.label or "unknown", self.prediction)
        ]
        return f"{'-'.join(words)}-{self.confidence:.3f}-{self.row}"


def write_mistakes(folder: Path, data: AdaptationData, predictions: FinalPredictions) -> None:
    """Write the misclassified and the most uncertain test inputs of each domain into a folder.

    `mistakes.csv` lists all misclassified inputs, the most confident first, and the 50 most uncertain inputs. The files of the
    first 200 mistakes and of the uncertain inputs are copied into a folder for each domain and list, and named
    TRUE-PREDICTED-CONFIDENCE-ROW. Inputs that are not files are drawn as the network sees them, if they can be shown.

    Args:
        folder: A new folder.
        data: The data that were tested.
        predictions: The predictions of the test.

    Raises:
        StorageError: If the files cannot be written.
    """
    rows = []
    try:
        for domain in predictions.probabilities:
            samples = data.domains.in_part("test")[domain]
            for place, shown in enumerate(_chosen(predictions, domain, data.domains.classes)):
                is_kept = shown.group == "uncertain" or place < MAX_MISTAKES
                file = _keep(folder / f"{domain}-{shown.group}", shown, samples, data) if is_kept else None
                name = samples.name(shown.row) or str(shown.row)
                kept = "" if file is None else file.relative_to(folder).as_posix()
                rows.append(
                    (
                        named_domain(domain, samples, shown.row),
                        shown.group,
                        shown.label,
                        shown.prediction,
                        f"{shown.confidence:.6f}",
                        name,
                        kept,
                    )
                )
    except OSError as error:
        raise StorageError(explain(error, folder)) from error
    write_table(folder / TABLE, [HEADINGS, *rows])


def _chosen(predictions: FinalPredictions, domain: Domain, classes: list[str]) -> Iterator[_Shown]:
    """Yield the misclassified inputs, the most confident first, and then the most uncertain ones."""
    confidence, predicted = torch.cat(predictions.probabilities[domain]).max(dim=1)
    labels = torch.cat(predictions.labels[domain]) if domain in predictions.labels else None

    def shown(group: str, row: int) -> _Shown:
        label = "" if labels is None or labels[row] == NO_LABEL else classes[int(labels[row])]
        return _Shown(group, row, label, classes[int(predicted[row])], confidence[row].item())

    order = confidence.argsort(descending=True, stable=True).tolist()
    if labels is not None:
        yield from (shown("misclassified", row) for row in order if predicted[row] != labels[row] != NO_LABEL)
    yield from (shown("uncertain", row) for row in order[::-1][:NUM_UNCERTAIN])


def _keep(folder: Path, shown: _Shown, samples: Samples, data: AdaptationData) -> Path | None:
    """Copy the file of an input, or draw the input; return the new file, or None if it cannot be shown."""
    name = samples.name(shown.row)
    if name is not None and (original := Path(name)).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(original, folder / f"{shown.file_name()}{original.suffix}"))
    drawn = data.kind.thumbnails(data.kind.view("plain").look(samples.load([shown.row]), []))
    if drawn is None:
        return None
    # Imported here, because few evaluations draw anything.
    from acclimate.figures import write_picture

    folder.mkdir(parents=True, exist_ok=True)
    write_picture(file := folder / f"{shown.file_name()}.png", drawn[0])
    return file
