"""Maximum classifier discrepancy (MCD)."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from acclimate.losses.classifier_discrepancy import classifier_discrepancy
from acclimate.methods.alternation import Alternating
from acclimate.models.batch_norm import fixed_statistics
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count
from acclimate.types import Labelled, LabelledPass, Prediction, Unlabelled, UnlabelledPass


class Mcd(Alternating):
    """Two heads look for target samples that they can disagree on, and the features move these to where both agree.

    Saito et al., "Maximum Classifier Discrepancy for Unsupervised Domain Adaptation", CVPR 2018. Its three steps for a
    batch, here in the order B, C, A, which is the same cycle begun at another place:

    - A, all: classification of the source with both heads;
    - B, the heads: the same, minus the discrepancy of the heads on the target;
    - C, the features, several times: the discrepancy.

    Both heads are linear. Evaluation uses the classifier's own: the published code also reports the ensemble of both, but that
    would be another model than the one that is exported.

    Each pass normalises what `batch_norm` says: under `separate` each domain by itself, as in the published code, under
    `joint` both together, for which C then needs the source as well. Only the pass of A moves the running statistics.

    Args:
        classifier: What is trained; its head is the first of the two.
        num_feature_steps: How often C is taken for a batch, at least 1.
        **common: What `Method` takes.
    """

    def __init__(self, classifier: Classifier, *, num_feature_steps: Count = 4, **common: Any) -> None:
        super().__init__(classifier, **common)
        self.num_feature_steps = num_feature_steps
        # Initialised by itself: equal heads would stay equal.
        self.second_head = nn.Linear(classifier.num_features, classifier.head.out_features)

    def take_turns(self, source: Labelled, target: Unlabelled) -> None:
        with fixed_statistics(self.classifier):
            self.train_adversaries(source, target)

    def train_adversaries(self, source: Labelled, target: Unlabelled) -> None:
        """Take the steps B and C."""
        heads = [*self.classifier.head.parameters(), *self.second_head.parameters()]
        is_head = {id(parameter) for parameter in heads}
        features = [p for p in self.classifier.parameters() if p.requires_grad and id(p) not in is_head]
        of_source, of_target = self.predict_domains(source.inputs, target.inputs)
        classification = sum(self.classifications(of_source.features.detach(), source.labels))
        self.extra_step(classification - self.discrepancy(of_target.features.detach()), heads)
        for step in range(self.num_feature_steps):
            # B did not touch the features, so its pass serves the first step.
            target_features = of_target.features if step == 0 else self.target_features(source.inputs, target.inputs)
            discrepancy = self.discrepancy(target_features)
            if step == 0:
                self.log("adaptation/discrepancy", discrepancy.detach())
            self.extra_step(discrepancy, features)

    def classifications(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The cross-entropy of both heads."""
        return F.cross_entropy(self.classifier.head(features), labels), F.cross_entropy(self.second_head(features), labels)

    def discrepancy(self, features: Tensor) -> Tensor:
        """How much the heads contradict each other."""
        return classifier_discrepancy(self.classifier.head(features), self.second_head(features))

    def target_features(self, source: Tensor, target: Tensor) -> Tensor:
        """Return features of the target, normalised as in training; only `joint` needs a pass of the source for that."""
        if self.batch_norm == "joint":
            return self.predict_domains(source, target)[1].features
        prediction: Prediction = self.classifier(target)
        return prediction.features

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        return {"second_classification": F.cross_entropy(self.second_head(source.features), source.labels)}
