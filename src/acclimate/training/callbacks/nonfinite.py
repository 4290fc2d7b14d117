"""Detection of losses, gradients and weights that are not finite, before the optimizer uses them."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer
from tqdm.contrib.logging import logging_redirect_tqdm  # type: ignore[import-untyped]

from acclimate.diagnostics.divergence import advice, how_to_continue
from acclimate.errors import DivergenceError
from acclimate.runs.checkpoint_files import exists, last_checkpoint
from acclimate.training.finite_checks import Check, Pending, check_step, copy_to_cpu, names_not_finite

log = logging.getLogger(__name__)


class NonFinite(Callback):
    """Callback that checks gradients before every optimizer step, including `extra_step`, and weights before they are saved.

    `Method` makes gradients NaN if the loss is not finite, so one check covers both, and all processes of a training on
    several devices get the same result. On a CPU, the result is read at once. On a GPU, a fused optimizer receives it as
    `found_inf` and does not step; it is read before the step on the next batch, so that no step waits for the GPU. With a
    `GradScaler`, gradients may overflow as long as the loss is finite and the scale is at least 1: the scaler skips the step
    and lowers the scale.

    A skipped step changes neither the weights nor the state of the optimizer, and buffers, such as the running statistics of
    batch norm, are restored to their values before the batch, or before the batches whose gradients were accumulated. In the
    mode `skip`, every step waits for the result of its check.

    Args:
        mode: `stop` or `skip`.
        config: The configuration of the run, which the message searches for a likely cause.

    Attributes:
        skipped: Number of steps skipped so far.

    Raises:
        DivergenceError: In the mode `stop`, at the first loss or gradient that is not finite; in the mode `skip`, at the
            last of `MAX_IN_A_ROW` in a row; in both, before weights that are not finite are validated or saved.
    """

    MAX_IN_A_ROW = 10

    def __init__(self, mode: Literal["stop", "skip"], config: Mapping[str, Any]) -> None:
        self.mode = mode
        self.config = config
        self.skipped = 0
        self.in_a_row = 0
        # Tensors that contain infinities on purpose, such as attention masks.
        self._exempt: set[str] = set()
        self._losses: list[dict[str, Tensor]] = []
        # Results being copied to the CPU: those of this batch, and those of earlier ones.
        self._pending: list[Pending] = []
        self._due: list[Pending] = []
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._drops_batch = False

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        weights = {name for name, _ in pl_module.named_parameters()}
        names = names_not_finite(pl_module.state_dict() | pl_module.changing_state())  # type: ignore[operator]
        self._exempt = {name for name in names if name not in weights}
        if wrong := [name for name in names if name in weights]:
            raise DivergenceError(
                f"The weights that the training starts from are not finite, first in {wrong[0]}. "
                "They cannot be used: choose another init_from or model.weights."
            )

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        self._due, self._pending = self._due + self._pending, []
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._drops_batch = False
            if self.mode == "skip":
                self._kept = [(buffer, buffer.clone()) for buffer in pl_module.buffers()]
        if self.mode == "skip":
            pl_module.log("train/skipped_steps", float(self.skipped))

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._losses.append(pl_module.step_losses)  # type: ignore[arg-type]

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not parameters:
            return
        # An extra step of a method has no backward pass of Lightning, and its gradients are not scaled.
        is_extra = not self._losses
        if not is_extra:
            self._read(trainer, pl_module, self._due)
        scaler = None if is_extra else getattr(trainer.precision_plugin, "scaler", None)
        check = check_step(trainer.global_step + 1, parameters, self._losses or [pl_module.step_losses], scaler)  # type: ignore[list-item]
        self._losses = []
        # gradual_unfreeze disables the fused step of an optimizer.
        is_fused = getattr(optimizer, "_step_supports_amp_scaling", False) and all(group.get("fused") for group in optimizer.param_groups)
        if self.mode == "stop" and is_fused and _runs_ahead(check.total.device):
            # A scaler sets found_inf itself.
            if scaler is None:
                optimizer.found_inf = (~check.total.isfinite()).float()  # type: ignore[attr-defined]
            self._pending.append(copy_to_cpu(check))
        elif self._drops_batch or check.fails:
            self._refuse(trainer, pl_module, check)
            for parameter in parameters:
                # Without a gradient a parameter is not changed; but a scaler that has not checked yet must find one.
                parameter.grad = None if scaler is None or not is_fused else torch.full_like(parameter, torch.nan)
        elif not is_extra:
            self.in_a_row = 0

    def _read(self, trainer: pl.Trainer, pl_module: pl.LightningModule, pending: list[Pending]) -> None:
        for arriving in pending:
            check = arriving.wait()
            if check.fails:
                self._refuse(trainer, pl_module, check)
        pending.clear()

    def _read_all(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read(trainer, pl_module, self._due)
        self._read(trainer, pl_module, self._pending)

    def _refuse(self, trainer: pl.Trainer, pl_module: pl.LightningModule, check: Check) -> None:
        """Stop, or restore the buffers and count the skipped step, once per batch."""
        for buffer, kept in self._kept:
            buffer.copy_(kept)
        if self._drops_batch:
            return
        found = self._describe(pl_module, trainer.optimizers[0], check)
        if self.mode == "stop":
            raise DivergenceError(f"Stopped before step {check.step}: {found} {self._ending()}")
        self._drops_batch = True
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= self.MAX_IN_A_ROW:
            raise DivergenceError(f"Stopped after {self.in_a_row} skipped steps in a row. In step {check.step} {found} {self._ending()}")
        if self.skipped == 1 and trainer.is_global_zero:
            with logging_redirect_tqdm():
                log.warning("Step %d is skipped: %s metrics.json counts such steps as train/skipped_steps.", check.step, found)

    def _describe(self, pl_module: pl.LightningModule, optimizer: Optimizer, check: Check) -> str:
        """Describe what is not finite and where, with the losses by name."""
        terms = [{name: float(value) for name, value in losses.items()} for losses in check.losses]
        shown = next((one for one in terms if not all(map(math.isfinite, one.values()))), terms[-1])
        listed = ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
        if not all(map(math.isfinite, shown.values())):
            return f"the loss is not finite ({listed})."
        names = {id(parameter): name for name, parameter in pl_module.named_parameters()}
        groups = {id(parameter): group.get("name", "") for group in optimizer.param_groups for parameter in group["params"]}
        wrong = [one for one, norm in zip(check.parameters, check.norms.tolist(), strict=True) if not math.isfinite(norm * norm)]
        where = f", first in {names[id(wrong[0])]} of the parameter group {groups[id(wrong[0])]}" if wrong else ""
        return f"the gradient of the loss ({listed}) is not finite in {len(wrong)} of {len(check.parameters)} parameters{where}."

    def _ending(self) -> str:
        saved = Path(self.config["folder"]) / "checkpoints"
        cause = advice(self.config)
        if not saved.exists():
            return f"{cause} Nothing was saved before."
        # Another learning rate does not help if another key is the cause.
        continues = "optimizer.lr" in cause and exists(last_checkpoint(saved.parent))
        return f"{cause} What was saved before is in {saved}." + (f" {how_to_continue(self.config)}" if continues else "")

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._read_all(trainer, pl_module)
            self._refuse_state(trainer, pl_module.changing_state())  # type: ignore[operator]

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._read_all(trainer, pl_module)
        if self.skipped and trainer.is_global_zero:
            log.warning("%d of %d steps were skipped because losses or gradients were not finite.", self.skipped, trainer.global_step)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        self._read_all(trainer, pl_module)
        state, is_fixed = checkpoint["state_dict"], pl_module.is_fixed
        self._refuse_state(trainer, {name: tensor for name, tensor in state.items() if not is_fixed(name)})  # type: ignore[operator]

    def _refuse_state(self, trainer: pl.Trainer, state: Mapping[str, Tensor]) -> None:
        if wrong := [name for name in names_not_finite(state) if name not in self._exempt]:
            raise DivergenceError(
                f"Stopped after step {trainer.global_step}: {len(wrong)} of {len(state)} weights and statistics are not finite, first "
                f"{wrong[0]}. {self._ending()}"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]


def _runs_ahead(device: torch.device) -> bool:
    """Return True if reading a tensor waits for work that is queued on the device."""
    return device.type == "cuda"
