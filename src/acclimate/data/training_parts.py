"""All samples of the training parts, without augmentation."""

from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from acclimate.data.domains import Domains
from acclimate.data.kind import View
from acclimate.data.loaders import EvaluationBatches, batch_loader
from acclimate.types import Domain


class TrainingParts:
    """All training samples for methods that request them in addition to their batches, see `TrainingInputs`.

    Args:
        domains: The data, without labels of the target.
        view: The view of evaluation.
        batch_size: Samples per batch, except for the last one.
    """

    def __init__(self, domains: Domains, view: View, *, batch_size: int) -> None:
        self.samples = domains.in_part("train")
        self.view = view
        self.batch_size = batch_size

    def labelled_source(self) -> DataLoader[Any]:
        """Return batches of the source."""
        return self._loader("source", labelled=True)

    def source_labels(self) -> Tensor:
        """Return the labels of the source, int64, shape (N,)."""
        labels = self.samples["source"].labels
        assert labels is not None
        return labels

    def unlabelled_target(self) -> DataLoader[Any]:
        """Return batches of the target in the order of `Unlabelled.samples`."""
        return self._loader("target", labelled=False)

    def _loader(self, domain: Domain, *, labelled: bool) -> DataLoader[Any]:
        return batch_loader(
            EvaluationBatches(self.samples[domain], self.view, batch_size=self.batch_size, labelled=labelled), num_workers=0
        )
