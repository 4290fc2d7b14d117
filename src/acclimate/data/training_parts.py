"""All samples of the training parts, without augmentation."""

from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from acclimate.data.domains import Domains
from acclimate.data.kind import View
from acclimate.data.loaders import EvaluationBatches, batch_loader
from acclimate.data.samples import Samples


class TrainingParts:
    """All training samples for methods that request them in addition to their batches, see `TrainingInputs`.

    Args:
        domains: The data, without labels of the target.
        view: The view of evaluation.
        batch_size: Samples per batch, except for the last one.
    """

    def __init__(self, domains: Domains, view: View, *, batch_size: int) -> None:
        self.domains = domains
        self.view = view
        self.batch_size = batch_size

    def labelled_source(self) -> DataLoader[Any]:
        """Return batches of the source."""
        return self._loader(self._source(), labelled=True)

    def source_labels(self) -> Tensor:
        """Return the labels of the source, int64, shape (N,)."""
        labels = self._source().labels
        assert labels is not None
        return labels

    def unlabelled_target(self) -> DataLoader[Any]:
        """Return batches of the target in the order of `Unlabelled.samples`."""
        assert self.domains.target is not None
        return self._loader(self.domains.target.train, labelled=False)

    def _source(self) -> Samples:
        assert self.domains.source is not None
        return self.domains.source.train

    def _loader(self, samples: Samples, *, labelled: bool) -> DataLoader[Any]:
        return batch_loader(EvaluationBatches(samples, self.view, batch_size=self.batch_size, labelled=labelled), num_workers=0)
