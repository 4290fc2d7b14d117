"""The default score."""

from torch import Tensor

from acclimate.scores.domain_accuracy import SourceAccuracy
from acclimate.scores.information_and_correlation import InformationAndCorrelation
from acclimate.scores.target_score import TargetScore
from acclimate.types import Domain, Prediction


class Automatic(TargetScore):
    """`information_corr_c` if there are target inputs, else `source_accuracy`."""

    domains = ("source", "target")
    needs_target = False

    def __init__(self) -> None:
        super().__init__()
        self.with_target = InformationAndCorrelation()
        self.without_target = SourceAccuracy()

    @property
    def name(self) -> str:  # type: ignore[override]
        return self._chosen.name

    @property
    def _chosen(self) -> TargetScore:
        return self.with_target if self.with_target.update_called else self.without_target

    def add_batch(self, domain: Domain, prediction: Prediction, labels: Tensor | None) -> None:
        (self.with_target if domain == "target" else self.without_target).update(domain, prediction, labels)

    def value(self) -> Tensor:
        value: Tensor = self._chosen.compute()
        return value

    def reset(self) -> None:
        super().reset()
        self.with_target.reset()
        self.without_target.reset()
