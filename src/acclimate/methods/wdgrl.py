"""Wasserstein distance guided representation learning (WDGRL)."""

from typing import Any

import torch
from torch import Tensor

from acclimate.losses.wasserstein import gradient_penalty, interpolates, wasserstein_estimate
from acclimate.methods.alternation import Alternating
from acclimate.methods.parts.critic import DomainCritic
from acclimate.methods.parts.fixed_weights import call_with_fixed_weights
from acclimate.models.classifier import Classifier
from acclimate.ranges import Count, NonNegative
from acclimate.types import LabelledPass, UnlabelledPass


class Wdgrl(Alternating):
    """Wasserstein distance guided training: minimise the Wasserstein distance between the domains' features.

    Shen et al., "Wasserstein Distance Guided Representation Learning for Domain Adaptation", AAAI 2018: for each batch,
    several steps of a critic on fixed features, then one step of the classifier against the critic. A penalty keeps the
    critic's gradient norm near 1 at the features of both domains and at points between them.

    Args:
        classifier: The model to train.
        wasserstein_weight: λ, the weight of the estimated distance, at least 0.
        num_critic_steps: Steps of the critic per batch, at least 1.
        penalty_weight: γ, the weight of the gradient penalty, at least 0.
        critic_width: Units in the hidden layer of the critic.
        **common: Arguments of `Method`.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        wasserstein_weight: NonNegative = 1.0,
        num_critic_steps: Count = 5,
        penalty_weight: NonNegative = 10.0,
        critic_width: Count = 100,
        **common: Any,
    ) -> None:
        super().__init__(classifier, **common)
        self.wasserstein_weight = wasserstein_weight
        self.num_critic_steps = num_critic_steps
        self.penalty_weight = penalty_weight
        self.critic = DomainCritic(classifier.num_features, width=critic_width)

    def train_adversary(self, source: LabelledPass, target: UnlabelledPass) -> None:
        features, target_features = source.features.detach(), target.features.detach()
        for _ in range(self.num_critic_steps):
            positions = torch.rand(max(len(features), len(target_features)), device=features.device)
            between = interpolates(features, target_features, positions=positions)
            distance = wasserstein_estimate(self.critic(features), self.critic(target_features))
            penalty = gradient_penalty(self.critic, torch.cat([features, target_features, between]))
            self.extra_step(self.penalty_weight * penalty - distance, self.critic.parameters())

    def adaptation_losses(self, source: LabelledPass, target: UnlabelledPass) -> dict[str, Tensor]:
        source_scores, target_scores = (call_with_fixed_weights(self.critic, domain.features) for domain in (source, target))
        distance = wasserstein_estimate(source_scores, target_scores)
        self.log("adaptation/wasserstein_distance", distance.detach())
        return {
            "wasserstein": self.wasserstein_weight * distance,
        }
