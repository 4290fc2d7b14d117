"""Batch spectral penalisation (BSP) combined with a domain discriminator."""

from typing import Any

import torch
from torch import Tensor

from acclimate.errors import ConfigError
from acclimate.losses.adversarial import domain_confusion
from acclimate.losses.spectral import spectral_penalty
from acclimate.methods.base import Method
from acclimate.methods.core.measures import log_domain_accuracies
from acclimate.methods.parts.discriminator import DomainDiscriminator
from acclimate.methods.parts.gradient_reversal import reverse_gradient
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative, Positive
from acclimate.schedules import sigmoid_ramp
from acclimate.types import LabelledPass, UnlabelledPass


class Bsp(Method):
    """DANN with batch spectral penalisation, which keeps a few directions from dominating the features.

    Chen et al., "Transferability vs. Discriminability: Batch Spectral Penalization for Adversarial Domain Adaptation", ICML
    2019, in its combination with DANN: the largest singular values of each domain's features are penalised.

    Args:
        classifier: The model to train.
        spectral_weight: Weight of the spectral penalty, at least 0.
        num_values: Number of penalised singular values of each domain, at least 1.
        max_reversal: Final value of λ, at least 0.
        steepness: Steepness of the ramp, see `sigmoid_ramp`.
        discriminator_width: Units in each hidden layer of the discriminator.
        **common: Arguments of `Method`.

    Raises:
        ConfigError: If there are fewer features than `num_values`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        spectral_weight: NonNegative = 1e-4,
        num_values: Count = 1,
        max_reversal: NonNegative = 1.0,
        steepness: Positive = 10.0,
        discriminator_width: Count = 256,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        if num_values > classifier.num_features:
            raise ConfigError(f"method.num_values must be from 1 to the {classifier.num_features} features, but is {num_values}.")
        self.spectral_weight = spectral_weight
        self.num_values = num_values
        self.needs = self.needs._replace(batch_size=num_values)
        self.max_reversal = max_reversal
        self.steepness = steepness
        self.discriminator = DomainDiscriminator(classifier.num_features, width=discriminator_width)

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        source_penalty, target_penalty = (spectral_penalty(domain.features, num_values=self.num_values) for domain in (source, target))
        strength = self.max_reversal * sigmoid_ramp(self.progress, steepness=self.steepness)
        domain_logits = self.discriminator(reverse_gradient(torch.cat([source.features, target.features]), strength))
        num_source = len(source.features)
        self.log("adaptation/reversal", strength)
        log_domain_accuracies(self, domain_logits, num_source=num_source)
        return {
            "domain": domain_confusion(domain_logits, num_source=num_source),
            "spectral": self.spectral_weight * (source_penalty + target_penalty),
        }
