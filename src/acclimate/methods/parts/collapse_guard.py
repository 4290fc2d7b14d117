"""Puts back what was changed once a network says the same of everything."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acclimate.losses.target_predictions import entropy


class CollapseGuard(nn.Module):
    """Notices when the predictions of a stream become less diverse than they were.

    Diversity is the entropy of the moving average of the predictions. A collapse is a diversity below a share of the
    highest that there was: where classes are truly rare it is low from the start, and nothing has collapsed.

    Args:
        parameters: What is put back to what it is now.
        num_classes: K.
        share: In [0, 1); 0 never notices anything.
        momentum: What the average keeps of itself with each batch, in [0, 1).

    Attributes:
        diversity: In nats, in [0, log K].
    """

    prediction: Tensor
    diversity: Tensor
    highest: Tensor

    def __init__(self, parameters: Sequence[nn.Parameter], num_classes: int, *, share: float, momentum: float = 0.9) -> None:
        super().__init__()
        self.share = share
        self.momentum = momentum
        self.register_buffer("prediction", torch.zeros(num_classes))
        self.register_buffer("diversity", torch.zeros(()))
        self.register_buffer("highest", torch.zeros(()))
        for number, parameter in enumerate(parameters):
            self.register_buffer(f"start_{number}", parameter.detach().clone())

    @torch.no_grad()
    def watch(self, logits: Tensor) -> None:
        """Takes in the predictions of a batch, shape (N, K)."""
        mean = logits.detach().to(self.prediction.dtype).softmax(dim=1).mean(dim=0)
        self.prediction.mul_(self.momentum).add_(mean, alpha=1 - self.momentum)
        self.diversity.copy_(entropy((self.prediction / self.prediction.sum()).log()))
        self.highest.copy_(torch.maximum(self.highest, self.diversity))

    @property
    def has_collapsed(self) -> bool:
        return bool(self.diversity < self.share * self.highest)

    @torch.no_grad()
    def put_back(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sets the parameters to what they were at first, and forgets the predictions."""
        for number, parameter in enumerate(parameters):
            parameter.copy_(self.get_buffer(f"start_{number}"))
        self.forget()

    def forget(self) -> None:
        """Begins to watch anew."""
        for buffer in (self.prediction, self.diversity, self.highest):
            buffer.zero_()
