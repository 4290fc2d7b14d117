"""Progress of a training as text: finished steps, the numbers that matter, speed and time left."""

import time

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

# Metrics by name, with what they are called in a line, and their number of digits.
NUMBERS = {
    "source/val_accuracy": ("source accuracy", 3),
    "target/val_oracle_accuracy": ("oracle accuracy", 3),
    "selection/value": ("score", 3),
    "adaptation/domain_accuracy": ("domain accuracy", 2),
}


class Progress:
    """The progress of a training since its start.

    Args:
        trainer: The trainer, which is about to train.
        method: The method, which counts finished batches.
    """

    def __init__(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        self.trainer = trainer
        self.method = method
        self._first = self.step
        self._since = time.monotonic()

    @property
    def step(self) -> int:
        """Number of finished steps."""
        return -(-int(self.method.batches_done) // self.trainer.accumulate_grad_batches)  # type: ignore[arg-type]

    @property
    def total(self) -> int:
        """Number of steps of the whole training, which the method knows after its own hook `on_train_start`."""
        return -(-int(self.method.total_batches) // self.trainer.accumulate_grad_batches)  # type: ignore[arg-type]

    def numbers(self) -> list[str]:
        """Return the metrics that matter; before the first validation, the loss."""
        metrics = self.trainer.callback_metrics
        known = [f"{text} {float(metrics[name]):.{digits}f}" for name, (text, digits) in NUMBERS.items() if name in metrics]
        return known or [f"loss {float(metrics[name]):.3f}" for name in ("loss/total",) if name in metrics]

    def pace(self) -> list[str]:
        """Return the speed since the start, with validations, and the time left at this speed; nothing before the first step."""
        steps, seconds = self.step - self._first, time.monotonic() - self._since
        if steps == 0:
            return []
        speed = steps / max(seconds, 1e-9)
        limits = [callback.time_remaining() for callback in self.trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
        left = min([(self.total - self.step) / speed, *(limit for limit in limits if limit is not None)])
        return [f"{speed:.{1 if speed < 100 else 0}f} steps/s", f"{clock(left)} left"]


def clock(seconds: float) -> str:
    """Return a duration as on a clock.

    >>> clock(7.4), clock(102), clock(3723), clock(-1)
    ('0:07', '1:42', '1:02:03', '0:00')
    """
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
