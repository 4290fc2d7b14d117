import json
import sys

import pytest


@pytest.fixture(scope="module")
def speed(benchmarks):
    return benchmarks("speed")


@pytest.fixture(scope="module")
def bare_loops(benchmarks):
    return benchmarks("bare_loops")


@pytest.fixture
def program(speed, monkeypatch, tmp_path):
    """Calls it as from the command line."""
    # It names a cache of its own, which must not be that of the tests after it.
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "cache"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["speed", "--folder", str(tmp_path), *arguments])
        speed.main()

    return call


def test_the_bare_loop_trains_as_many_parameters_as_dann_with_small_cnn(speed, bare_loops, tmp_path):
    method = speed.prepared(tmp_path, "data.num_source=100", "data.num_source_eval=10").method
    number = sum(parameter.numel() for parameter in method.parameters())
    assert number == sum(parameter.numel() for parameter in bare_loops.Layers().parameters())


def test_the_bare_loop_on_features_trains_as_many_parameters_as_dann_on_a_frozen_backbone(speed, bare_loops, tmp_path):
    words = ("model=efficientnet_lite0", "model.weights=null", "model.freeze=backbone", "data.num_source=100", "data.num_source_eval=10")
    method = speed.prepared(tmp_path, *words).method
    number = sum(parameter.numel() for parameter in method.parameters() if parameter.requires_grad)
    assert number == sum(parameter.numel() for parameter in bare_loops.LayersOnFeatures(1280).parameters())


def test_a_part_that_is_measured_anew_takes_the_place_of_its_rows_alone(program, speed, monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "PARTS", {"fast": lambda *_: {"a ÷ b": [2.0, 4.0, 3.0]}, "slow": lambda *_: {"c ÷ d": [0.5]}})
    program("slow", "fast")
    monkeypatch.setitem(speed.PARTS, "slow", lambda *_: {"c ÷ d": [0.25]})
    program("slow", "--rounds", "1")
    rows = {row["what"]: row for row in json.loads((tmp_path / "speed.json").read_text())["rows"]}
    assert [(what, row["ratios"]) for what, row in rows.items()] == [("c ÷ d", [0.25]), ("a ÷ b", [2.0, 4.0, 3.0])]
    assert rows["c ÷ d"]["command"] == f'make benchmark ARGS="slow --folder {tmp_path} --rounds 1"'
    assert "| a ÷ b | 3.00 | 2.00 | 4.00 |" in (tmp_path / "speed.md").read_text()
    assert (tmp_path / "speed.png").stat().st_size > 0


def test_an_unknown_part_is_refused(program, capsys):
    with pytest.raises(SystemExit, match="2"):
        program("stpe")
    assert "choose among step" in capsys.readouterr().err
