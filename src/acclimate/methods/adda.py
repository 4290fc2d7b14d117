"""Adversarial discriminative domain adaptation (ADDA), with features that both domains share."""

from typing import Any

import torch
from torch import Tensor

from acclimate.losses.adversarial import domain_accuracy, domain_confusion, inverted_labels
from acclimate.methods.alternation import Alternating
from acclimate.methods.parts.discriminator import DomainDiscriminator
from acclimate.methods.parts.fixed_weights import call_with_fixed_weights
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative, Positive
from acclimate.schedules import sigmoid_ramp
from acclimate.types import LabelledPass, UnlabelledPass


class Adda(Alternating):
    """A discriminator and the features take turns: it learns to tell the domains apart, they to pass target for source.

    After Tzeng et al., "Adversarial Discriminative Domain Adaptation", CVPR 2017: a step of the discriminator on both
    domains, then one of the features with inverted labels against the discriminator that came out of it.

    Two departures from the paper. It trains an encoder on the source first, then a second one for the target with the
    first one fixed. Here one classifier serves both domains and the task's loss stays, as in many tutorials: the model
    is no larger, and the source keeps the features from collapsing. And because there is no training on the source
    beforehand, the adversarial loss grows along a ramp: features of the first steps mean nothing yet, so there is
    nothing to align. The discriminator takes full steps from the first batch and is ready when the loss counts.

    Args:
        classifier: What is trained.
        adversarial_weight: What the weight of the adversarial loss grows to, at least 0.
        steepness: How fast it grows, see `sigmoid_ramp`.
        discriminator_width: Units in each hidden layer of the discriminator.
        **common: What `Method` takes.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        adversarial_weight: NonNegative = 1.0,
        steepness: Positive = 10.0,
        discriminator_width: Count = 256,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        self.adversarial_weight = adversarial_weight
        self.steepness = steepness
        self.discriminator = DomainDiscriminator(classifier.num_features, width=discriminator_width)

    def train_adversary(self, source: LabelledPass, target: UnlabelledPass) -> None:
        num_source = len(source.features)
        domain_logits = self.discriminator(torch.cat([source.features, target.features]).detach())
        self.log("adaptation/domain_accuracy", domain_accuracy(domain_logits, num_source=num_source))
        self.extra_step(domain_confusion(domain_logits, num_source=num_source), self.discriminator.parameters())

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        weight = self.adversarial_weight * sigmoid_ramp(self.progress, steepness=self.steepness)
        self.log("adaptation/adversarial_weight", weight)
        return {
            "adversarial": weight * inverted_labels(call_with_fixed_weights(self.discriminator, target.features)),
        }
