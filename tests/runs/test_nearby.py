"""Paths that are no runs are answered with those near them."""

from pathlib import Path

import pytest

from acclimate.errors import ConfigError
from acclimate.runs.checkpoint_files import selected_checkpoint
from acclimate.runs.saved import read_config


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("outputs/day/1-dan", "outputs/day/1-dann"),
        ("outputs/day/1-dann/metrics.json", "outputs/day/1-dann"),
        ("outputs/day/1-dann/checkpoints", "outputs/day/1-dann"),
        ("outputs/day", "outputs/day/1-dann"),
        ("outputs", "outputs/day/1-dann"),
        ("elsewhere", None),
        ("outputs/day/unfinished", None),
    ],
)
def test_a_path_near_a_run_is_answered_with_it(typed, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("outputs/day/1-dann/checkpoints", "outputs/day/unfinished"):
        Path(folder).mkdir(parents=True)
    for file in ("run.json", "metrics.json", "checkpoints/best.ckpt"):
        Path("outputs/day/1-dann", file).touch()
    with pytest.raises(ConfigError) as problem:
        selected_checkpoint(typed)
    assert str(problem.value).endswith("TIME-METHOD." + (f" Did you mean {meant}?" if meant else ""))
    if meant and "metrics" not in typed:
        with pytest.raises(ConfigError, match=rf"Did you mean {meant}\?$"):
            read_config(Path(typed))
    assert selected_checkpoint("outputs/day/1-dann") == Path("outputs/day/1-dann/checkpoints/best.ckpt")
