"""The predictions of the final test, input by input."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from acclimate.data.domains import Domains
from acclimate.data.samples import NO_LABEL, named_domain
from acclimate.files.atomic_files import write_table
from acclimate.runs.record import TEST_PREDICTIONS
from acclimate.selection.evaluation_callback import EvaluationCallback
from acclimate.types import Domain, Labelled, Part, Prediction, Unlabelled

# A file with more probabilities would serve nobody; it has the confidences alone.
MAX_PROBABILITIES = 5_000_000


class FinalPredictions(EvaluationCallback):
    """Callback that collects the predictions of a test.

    Attributes:
        probabilities: Probabilities by domain, a list of batches, shape (N, K).
        labels: Known labels by domain, a list of batches, int64, shape (N,).
    """

    def __init__(self) -> None:
        self.probabilities: dict[Domain, list[Tensor]] = {}
        self.labels: dict[Domain, list[Tensor]] = {}

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.probabilities, self.labels = {}, {}

    def on_evaluation_batch(self, part: Part, domain: Domain, prediction: Prediction, batch: Labelled | Unlabelled) -> None:
        if part == "test":
            self.probabilities.setdefault(domain, []).append(prediction.logits.float().softmax(dim=1).cpu())
            if isinstance(batch, Labelled):
                self.labels.setdefault(domain, []).append(batch.labels.cpu())

    def confusions(self, domains: Domains) -> dict[str, Tensor]:
        """Return the confusion matrix of each domain with labels: counts of shape (K, K), true classes in rows.

        Several sources or targets have one together, `target`, and one each, `target/NAME`.

        Args:
            domains: The samples that were tested.
        """
        num_classes, found = len(domains.classes), dict[str, Tensor]()
        for domain, batches in self.labels.items():
            labels = torch.cat(batches)
            pairs = num_classes * labels + torch.cat(self.probabilities[domain]).argmax(dim=1)
            samples = domains.in_part("test").get(domain)
            members: dict[str, Tensor] = {domain: labels != NO_LABEL}
            if samples is not None and samples.domains is not None:
                names = enumerate(samples.domain_names)
                members |= {f"{domain}/{name}": members[domain] & (samples.domains == number) for number, name in names}
            for name, rows in members.items():
                if rows.any():
                    found[name] = torch.bincount(pairs[rows], minlength=num_classes**2).reshape(num_classes, num_classes)
        return found

    def write(self, folder: Path, domains: Domains) -> None:
        """Write `test_predictions.csv`: for each input the label, where it is known, the prediction and all probabilities.

        Args:
            folder: The folder of the run.
            domains: The samples that were tested.
        """
        num = sum(len(batch) for batches in self.probabilities.values() for batch in batches)
        shown = domains.classes if num * len(domains.classes) <= MAX_PROBABILITIES else []
        headings = ("sample", "domain", "label", "prediction", "confidence", *(f"p({name})" for name in shown))
        write_table(folder / TEST_PREDICTIONS, [headings, *self._rows(domains, shown)])

    def _rows(self, domains: Domains, shown: Sequence[str]) -> Iterator[tuple[str, ...]]:
        tested = domains.in_part("test")
        for domain, batches in self.probabilities.items():
            samples = tested.get(domain)
            labels = torch.cat(self.labels[domain]).tolist() if domain in self.labels else None
            for row, shares in enumerate(torch.cat(batches).tolist()):
                confidence = max(shares)
                yield (
                    (samples.name(row) if samples is not None else None) or str(row),
                    domain if samples is None else named_domain(domain, samples, row),
                    "" if labels is None or labels[row] == NO_LABEL else domains.classes[labels[row]],
                    domains.classes[shares.index(confidence)],
                    f"{confidence:.6f}",
                    *(f"{share:.6f}" for share in (shares if shown else ())),
                )
