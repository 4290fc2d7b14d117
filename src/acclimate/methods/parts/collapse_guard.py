"""Detection of collapsed predictions, and the return to the initial weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from acclimate.losses.target_predictions import entropy


class CollapseGuard(nn.Module):
    """Detector of predictions that become less diverse during a stream.

    Diversity is the entropy of the moving average of the predictions. A collapse is a diversity below a share of the
    highest one so far: if the stream truly lacks some classes, diversity is low from the start and does not collapse.

    Args:
        parameters: Parameters whose current values `put_back` restores.
        num_classes: K, the number of classes.
        share: Share of the highest diversity below which predictions have collapsed, in [0, 1); 0 disables the guard.
        momentum: Momentum of the moving average, in [0, 1).

    Attributes:
        diversity: Current diversity in nats, in [0, log K].
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
        """Update the diversity with the logits of a batch, shape (N, K)."""
        mean = logits.detach().to(self.prediction.dtype).softmax(dim=1).mean(dim=0)
        self.prediction.mul_(self.momentum).add_(mean, alpha=1 - self.momentum)
        self.diversity.copy_(entropy((self.prediction / self.prediction.sum()).log()))
        self.highest.copy_(torch.maximum(self.highest, self.diversity))

    @property
    def has_collapsed(self) -> bool:
        """True if diversity is below `share` of the highest one so far."""
        return bool(self.diversity < self.share * self.highest)

    @torch.no_grad()
    def put_back(self, parameters: Sequence[nn.Parameter]) -> None:
        """Restore the initial values of the parameters, and reset the diversity."""
        for number, parameter in enumerate(parameters):
            parameter.copy_(self.get_buffer(f"start_{number}"))
        self.forget()

    def forget(self) -> None:
        """Reset the moving average and the diversity."""
        for buffer in (self.prediction, self.diversity, self.highest):
            buffer.zero_()
