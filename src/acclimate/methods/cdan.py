"""Conditional domain-adversarial networks (CDAN, and CDAN+E with entropy weighting)."""

from typing import Any

import torch
from torch import Tensor

from acclimate.losses.adversarial import certainty_weights, domain_confusion
from acclimate.methods.base import Method
from acclimate.methods.core.measures import log_domain_accuracies
from acclimate.methods.parts.discriminator import DomainDiscriminator
from acclimate.methods.parts.gradient_reversal import reverse_gradient
from acclimate.methods.parts.multilinear_map import MultilinearMap
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative, Positive
from acclimate.schedules import sigmoid_ramp
from acclimate.types import LabelledPass, UnlabelledPass


class Cdan(Method):
    """Conditional domain-adversarial training: the discriminator sees features together with the predicted classes.

    Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, Eq. 3 to 9. The predictions that enter the
    discriminator are constants, as in the published code. Departure: the entropy weights are constants as well, while they
    receive a gradient in the published code; to lower the target's entropy, add a term.

    Args:
        classifier: The model to train.
        entropy_weighting: Whether to give samples with certain predictions more weight in the discriminator (CDAN+E).
        max_reversal: Final value of λ, at least 0.
        steepness: Steepness of the ramp, see `sigmoid_ramp`.
        discriminator_width: Units in each hidden layer of the discriminator.
        max_map_outputs: Largest size of the product of features and classes that is used as it is; a larger one is projected.
        random_map_width: Width of the random projection.
        **common: Arguments of `Method`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        entropy_weighting: bool = False,
        max_reversal: NonNegative = 1.0,
        steepness: Positive = 10.0,
        discriminator_width: Count = 256,
        max_map_outputs: Count = 4096,
        random_map_width: Count = 1024,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        self.entropy_weighting = entropy_weighting
        self.max_reversal = max_reversal
        self.steepness = steepness
        num_classes = classifier.head.out_features
        self.map = MultilinearMap(classifier.num_features, num_classes, max_outputs=max_map_outputs, num_random=random_map_width)
        self.discriminator = DomainDiscriminator(self.map.num_outputs, width=discriminator_width)

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        strength = self.max_reversal * sigmoid_ramp(self.progress, steepness=self.steepness)
        features = torch.cat([source.features, target.features])
        logits = torch.cat([source.logits, target.logits]).detach()
        conditioned = self.map(reverse_gradient(features, strength), logits.softmax(dim=1))
        domain_logits = self.discriminator(conditioned)
        num_source = len(source.features)
        weights = certainty_weights(logits) if self.entropy_weighting else None
        self.log("adaptation/reversal", strength)
        log_domain_accuracies(self, domain_logits, num_source=num_source)
        return {
            "domain": domain_confusion(domain_logits, num_source=num_source, weights=weights),
        }
