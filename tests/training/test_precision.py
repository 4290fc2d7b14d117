"""The default precision of training."""

import pytest
import torch
from small_runs import compose

from acclimate.training import assembly, parts


@pytest.mark.parametrize(
    ("accelerator", "has_gpu", "has_bfloat16", "expected"),
    [
        ("auto", True, True, "bf16-mixed"),
        ("gpu", True, True, "bf16-mixed"),
        ("auto", True, False, "32-true"),
        ("auto", False, False, "32-true"),
        ("cpu", True, True, "32-true"),
        ("mps", True, True, "32-true"),
    ],
)
def test_bfloat16_where_a_gpu_has_it(monkeypatch, accelerator, has_gpu, has_bfloat16, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bfloat16 or including_emulation)
    assert parts.usual_precision(accelerator) == expected


@pytest.mark.parametrize(("asked", "expected"), [("null", "bf16-mixed"), ("32-true", "32-true"), ("64-true", "64-true")])
def test_what_is_asked_for_goes_before_what_is_usual(archives, tmp_path, monkeypatch, asked, expected):
    monkeypatch.setattr(parts, "usual_precision", lambda accelerator: "bf16-mixed")
    run = assembly.build(compose(tmp_path, *archives, f"trainer.precision={asked}"))
    assert run.trainer.precision == expected
