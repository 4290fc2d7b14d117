"""Domain-adversarial training of neural networks (DANN)."""

from typing import Any

import torch
from torch import Tensor

from acclimate.losses.adversarial import domain_confusion
from acclimate.methods.base import Method
from acclimate.methods.core.measures import log_domain_accuracies
from acclimate.methods.parts.discriminator import DomainDiscriminator
from acclimate.methods.parts.gradient_reversal import reverse_gradient
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative, Positive
from acclimate.schedules import sigmoid_ramp
from acclimate.types import LabelledPass, UnlabelledPass


class Dann(Method):
    """Domain-adversarial training: learn features from which a discriminator cannot tell the domains apart.

    Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, Eq. 14 to 18. λ scales the gradient that
    the features receive, not the loss, so the discriminator learns at full speed from the first step.

    Args:
        classifier: The model to train.
        max_reversal: Final value of λ, at least 0.
        steepness: Steepness of the ramp, see `sigmoid_ramp`.
        discriminator_width: Units in each hidden layer of the discriminator.
        **common: Arguments of `Method`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        max_reversal: NonNegative = 1.0,
        steepness: Positive = 10.0,
        discriminator_width: Count = 256,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        self.max_reversal = max_reversal
        self.steepness = steepness
        self.discriminator = DomainDiscriminator(classifier.num_features, width=discriminator_width)

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        strength = self.max_reversal * sigmoid_ramp(self.progress, steepness=self.steepness)
        features = torch.cat([source.features, target.features])
        domain_logits = self.discriminator(reverse_gradient(features, strength))
        num_source = len(source.features)
        self.log("adaptation/reversal", strength)
        log_domain_accuracies(self, domain_logits, num_source=num_source)
        return {
            "domain": domain_confusion(domain_logits, num_source=num_source),
        }
