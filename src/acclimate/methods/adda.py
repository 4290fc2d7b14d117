"""Adversarial discriminative domain adaptation (ADDA) with features shared by both domains."""

from typing import Any

import torch
from torch import Tensor

from acclimate.losses.adversarial import domain_confusion, inverted_labels
from acclimate.methods.alternation import Alternating
from acclimate.methods.core.measures import log_domain_accuracies
from acclimate.methods.parts.discriminator import DomainDiscriminator
from acclimate.methods.parts.fixed_weights import call_with_fixed_weights
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative, Positive
from acclimate.schedules import sigmoid_ramp
from acclimate.types import LabelledPass, UnlabelledPass


class Adda(Alternating):
    """Adversarial discriminative adaptation: alternating steps of a domain discriminator and of features that fool it.

    After Tzeng et al., "Adversarial Discriminative Domain Adaptation", CVPR 2017: for each batch, a step of the
    discriminator on both domains, then a step of the features with inverted labels against the updated discriminator.

    Two departures from the paper. First, the paper trains an encoder on the source, then a second one for the target with
    the first one fixed. Here one classifier serves both domains and keeps its classification loss, as in many tutorials:
    the model does not grow, and the source keeps the features from collapsing. Second, because there is no prior training
    on the source, the weight of the adversarial loss follows a ramp: the features of the first steps carry no information
    that could be aligned. The discriminator takes full steps from the first batch.

    Args:
        classifier: The model to train.
        adversarial_weight: Final weight of the adversarial loss, at least 0.
        steepness: Steepness of the ramp, see `sigmoid_ramp`.
        discriminator_width: Units in each hidden layer of the discriminator.
        **common: Arguments of `Method`.
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
        log_domain_accuracies(self, domain_logits, num_source=num_source)
        self.extra_step(domain_confusion(domain_logits, num_source=num_source), self.discriminator.parameters())

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        weight = self.adversarial_weight * sigmoid_ramp(self.progress, steepness=self.steepness)
        self.log("adaptation/adversarial_weight", weight)
        return {
            "adversarial": weight * inverted_labels(call_with_fixed_weights(self.discriminator, target.features)),
        }
