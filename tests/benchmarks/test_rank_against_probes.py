import json

import pytest
from small_runs import SMALL, write_archives

FEW_STEPS = ("trainer.max_steps=3", "trainer.val_check_interval=3")


@pytest.fixture(scope="module")
def ranking(benchmarks):
    return benchmarks("ranking")


def test_scores_in_the_order_of_the_probes_have_a_correlation_of_one(ranking):
    rows = [ranking.Row(name, *numbers) for name, numbers in (("a", (3.0, 0.1, 0.9)), ("b", (2.0, 0.2, 0.8)), ("c", (1.0, 0.3, 0.7)))]
    assert ranking.correlations(rows) == pytest.approx((1.0, -1.0))


def test_there_is_no_correlation_where_a_backbone_has_no_score(ranking):
    rows = [ranking.Row("a", 2.0, None, 0.9), ranking.Row("b", 1.0, 0.2, 0.8)]
    assert ranking.correlations(rows) == (pytest.approx(1.0), None)
    assert ranking.results("blobs", rows).rows[-1] == ["ρ", "1.00", "–", ""]


def test_every_backbone_is_ranked_and_probed(call_program, ranking, monkeypatch, tmp_path):
    """With a tiny network, random and trained."""
    setting = ranking.Setting(tuple(write_archives(tmp_path)), 16)
    monkeypatch.setattr(ranking, "SETTINGS", {"blobs": setting})
    monkeypatch.setattr(ranking, "COMMON", (*SMALL, "model=small_cnn"))
    monkeypatch.setattr(ranking, "PRETRAINING", (*setting.overrides, "method=source_only", "trainer.max_epochs=1"))
    monkeypatch.setattr(ranking, "PROBE", (*ranking.PROBE, "model.bottleneck=null", *FEW_STEPS))
    small = ("data.image_size={size}", "model.backbone.width=4")
    monkeypatch.setattr(ranking, "BACKBONES", {"random": small, "trained": (*small, "model.weights='{digits}'")})
    assert call_program(ranking) == 0
    rows = json.loads((tmp_path / "ranking.json").read_text())["blobs"]
    assert {row["backbone"] for row in rows} == {"random", "trained"}
    assert rows[0]["logme"] >= rows[1]["logme"]
    for row in rows:
        metrics = json.loads((tmp_path / "ranking" / "blobs" / row["backbone"] / "metrics.json").read_text())
        # Backbones are scored on the source, whatever the probe says of a target.
        assert row["accuracy"] == metrics["source/test_accuracy"]
        assert "target/test_accuracy" in metrics
    assert "| ρ |" in (tmp_path / "ranking.md").read_text()


def test_unknown_settings_are_named(call_program, ranking, capsys):
    assert call_program(ranking, "--settings", "paintings") == 2
    assert "There is no paintings" in capsys.readouterr().out
