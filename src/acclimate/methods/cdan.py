"""Conditional domain-adversarial networks (CDAN, and CDAN+E with entropy weighting)."""

from typing import Any

import torch
from torch import Tensor

from acclimate.losses.adversarial import certainty_weights, domain_accuracy, domain_confusion
from acclimate.methods.base import Method
from acclimate.methods.parts.discriminator import DomainDiscriminator
from acclimate.methods.parts.gradient_reversal import reverse_gradient
from acclimate.methods.parts.multilinear_map import MultilinearMap
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative, Positive
from acclimate.schedules import sigmoid_ramp
from acclimate.types import LabelledPass, UnlabelledPass


class Cdan(Method):
    """A discriminator that sees features together with the predicted classes, so that classes are aligned with classes.

    Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018, Eq. 3 to 9. Predictions are constants on
    their way into the discriminator, as in the published code. Its entropy weights receive a gradient there; here they
    are constants too: what lowers the target's entropy is a term of its own.

    Args:
        classifier: What is trained.
        entropy_weighting: Whether samples with certain predictions count more for the discriminator (CDAN+E).
        max_reversal: What λ grows to, at least 0.
        steepness: How fast it grows, see `sigmoid_ramp`.
        discriminator_width: Units in each hidden layer of the discriminator.
        max_map_outputs: Up to which size the product of features and classes is used as it is; beyond, a random projection.
        random_map_width: Width of that projection.
        **common: What `Method` takes.
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
        self.log("adaptation/domain_accuracy", domain_accuracy(domain_logits, num_source=num_source))
        return {
            "domain": domain_confusion(domain_logits, num_source=num_source, weights=weights),
        }
