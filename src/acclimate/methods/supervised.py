"""Training on labelled inputs alone: source only, fine-tuning, linear probing and learning rates by depth."""

from acclimate.methods.base import Method
from acclimate.types import Needs


class Supervised(Method):
    """Cross-entropy on the source; the target is not looked at.

    `backbone_rate` is the ladder of transfer learning: 1 trains all layers alike (`source_only`), 0.1 spares what was
    learned before (`fine_tune`), and 0 freezes it (`linear_probe`). `layer_decay` spares it the more, the nearer a layer is
    to the input (`layerwise_decay`).
    """

    needs = Needs(target=False, trained_features=False)
