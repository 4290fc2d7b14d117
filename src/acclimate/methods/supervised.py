"""Training on labelled inputs only: source only, fine-tuning, linear probing and layer-wise learning rates."""

from acclimate.methods.base import Method
from acclimate.types import Needs


class Supervised(Method):
    """Cross-entropy on the source, without using the target.

    `backbone_rate` covers the usual kinds of transfer learning: 1 trains all layers at the same rate (`source_only`), 0.1
    changes the pretrained layers more slowly (`fine_tune`), and 0 freezes them (`linear_probe`). With `layer_decay`, the
    rate also decreases from the head towards the input (`layerwise_decay`).
    """

    needs = Needs(target=False, trained_features=False)
