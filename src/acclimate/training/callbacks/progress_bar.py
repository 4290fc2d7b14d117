"""The progress bar: one line for training, none if the output is a file."""

import sys
from typing import Any

from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from acclimate.ranges import Count


class ProgressBar(TQDMProgressBar):
    """Progress bar with the most important metrics, shown only in terminals.

    Args:
        refresh_rate: Number of batches between two updates.
    """

    def __init__(self, refresh_rate: Count = 10) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stderr.isatty() else 0)

    def init_validation_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)

    def init_test_tqdm(self) -> Tqdm:
        return Tqdm(disable=True)

    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        return {name: value for name, value in super().get_metrics(*arguments).items() if name != "v_num"}
