"""The optimizers of conf/optimizer/ as runs use them."""

import pytest
import torch
from small_runs import compose

from acclimate.config.groups import group_options
from acclimate.training import assembly, run

OPTIMIZERS = group_options("optimizer")


def optimizer_of(folder, *overrides):
    parts = assembly.build(compose(folder, *overrides, "callbacks={}"))
    parts.trainer.strategy.connect(parts.method)
    return parts, parts.method.configure_optimizers()["optimizer"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_fused_and_their_steps_are_those_of_optimizers_that_are_not(archives, tmp_path, name):
    weights = []
    for fused in ("true", "false"):
        parts, optimizer = optimizer_of(tmp_path, *archives, f"optimizer={name}", f"optimizer.fused={fused}")
        assert [group["fused"] for group in optimizer.param_groups] == [fused == "true"] * len(optimizer.param_groups)
        for parameter in parts.method.parameters():
            parameter.data = parameter.data.double()
        for step in range(3):
            for place, parameter in enumerate(parts.method.parameters()):
                parameter.grad = torch.full_like(parameter, 0.1 * (place - 5) + step)
            optimizer.step()
        weights.append([parameter.detach() for parameter in parts.method.parameters()])
    torch.testing.assert_close(*weights, rtol=1e-12, atol=1e-12)
    _, default = optimizer_of(tmp_path, *archives, f"optimizer={name}")
    assert all(group["fused"] for group in default.param_groups)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped_in_every_precision(archives, tmp_path, name, precision):
    options = (f"trainer.precision={precision}", "trainer.gradient_clip_val=1.0", "trainer.max_steps=2", "method=adda", "callbacks={}")
    assert run.train(compose(tmp_path, *archives, f"optimizer={name}", *options))["train/steps"] == 2
