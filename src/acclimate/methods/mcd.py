"""Maximum classifier discrepancy (MCD)."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from acclimate.inputs import Inputs
from acclimate.losses.classifier_discrepancy import classifier_discrepancy
from acclimate.methods.alternation import Alternating
from acclimate.models.batch_norm import fixed_statistics
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count
from acclimate.types import Labelled, LabelledPass, Prediction, Unlabelled, UnlabelledPass


class Mcd(Alternating):
    """Maximum classifier discrepancy: two heads maximise their disagreement on the target, and the features minimise it.

    Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018. The paper has three steps
    per batch, which are taken here in the order B, C, A, the same cycle with another beginning:

    - A trains all parameters to classify the source, and labelled target inputs if there are any, with both heads;
    - B trains the heads with the same loss minus their discrepancy on the target;
    - C trains the features, several times, to minimise the discrepancy.

    Both heads are linear. Evaluation uses the classifier's own head: the published code also reports the ensemble of both,
    which is not the model that is exported.

    Each pass follows `batch_norm`: with `separate`, each domain is normalised by itself, as in the published code; with
    `joint`, both are normalised together, so C also needs the source. Only the pass of A updates the running statistics.

    Args:
        classifier: The model to train; its head is the first of the two.
        num_feature_steps: Number of steps C per batch, at least 1.
        **common: Arguments of `Method`.
    """

    def __init__(self, classifier: Classifier, *, num_feature_steps: Count = 4, **common: Any) -> None:
        super().__init__(classifier, **common)
        self.num_feature_steps = num_feature_steps
        # Initialised independently, because equal heads would stay equal.
        self.second_head = nn.Linear(classifier.num_features, classifier.head.out_features)

    def take_turns(self, source: Labelled, target: Unlabelled) -> None:
        """Take steps B and C."""
        heads = [*self.classifier.head.parameters(), *self.second_head.parameters()]
        is_head = {id(parameter) for parameter in heads}
        features = [p for p in self.classifier.parameters() if p.requires_grad and id(p) not in is_head]
        with fixed_statistics(self.classifier):
            of_source, of_target = self.predict_domains(source.inputs, target.inputs)
            classification = sum(self.classifications(of_source.features.detach(), source.labels))
            self.extra_step(classification - self.discrepancy(of_target.features.detach()), heads)
            for step in range(self.num_feature_steps):
                # B did not change the features, so the first step reuses its pass.
                target_features = of_target.features if step == 0 else self.target_features(source.inputs, target.inputs)
                discrepancy = self.discrepancy(target_features)
                if step == 0:
                    self.log("adaptation/discrepancy", discrepancy.detach())
                self.extra_step(discrepancy, features)

    def classifications(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross-entropy of each head."""
        return F.cross_entropy(self.classifier.head(features), labels), F.cross_entropy(self.second_head(features), labels)

    def discrepancy(self, features: Tensor) -> Tensor:
        """Return the disagreement between the heads."""
        return classifier_discrepancy(self.classifier.head(features), self.second_head(features))

    def target_features(self, source: Inputs, target: Inputs) -> Tensor:
        """Return features of the target, normalised as in training; with `joint`, this requires a pass of the source."""
        if self.batch_norm == "joint":
            return self.predict_domains(source, target)[1].features
        prediction: Prediction = self.classifier(target)
        return prediction.features

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        return {"second_classification": F.cross_entropy(self.second_head(source.features), source.labels)}

    def target_classification(self, few: LabelledPass) -> Tensor:
        return super().target_classification(few) + F.cross_entropy(self.second_head(few.features), few.labels)
