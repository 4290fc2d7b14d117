"""Commands that are suggested after a run."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from finished_runs import write_run
from hydra.core.global_hydra import GlobalHydra
from small_runs import SMALL, write_test_images

from acclimate import cli
from acclimate.cli.next_commands import next_commands

OPTIONS = ("method=source_only", "trainer.max_steps=2", "trainer.check_val_every_n_epoch=null", "trainer.val_check_interval=2")


@pytest.fixture
def typed(monkeypatch, capsys, tmp_path):
    """Run the command in an empty folder and return what it wrote to standard output."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["acclimate", *words])
        cli.main()
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    GlobalHydra.instance().clear()
    return run


def test_what_is_suggested_after_a_run_works(typed, archives):
    shown = typed("train", *archives, *SMALL, *OPTIONS, "logger=tensorboard", "hydra.run.dir=my runs/first, quick").splitlines()
    commands = [shlex.split(line) for line in shown[shown.index("What to try next:") + 1 :]]
    assert [words[:2] for words in commands] == [
        ["acclimate", "evaluate"],
        ["acclimate", "predict"],
        ["acclimate", "compare"],
        ["tensorboard", "--logdir"],
    ]
    evaluate, predict, compare, tensorboard = commands
    target = next(text for text in archives if text.startswith("data.target=")).partition("=")[2]
    metrics = json.loads(Path("my runs/first, quick/metrics.json").read_text())
    assert f"{metrics['target/test_accuracy']:.4f}" in typed(*(word.replace("PLACE", target) for word in evaluate[1:]))
    Path("photos").mkdir()
    number = len(write_test_images(archives, Path("photos")))
    assert f"{number} inputs" in typed(*(word.replace("PLACE", "photos") for word in predict[1:]))
    assert Path("predictions.csv").is_file()
    assert "source_only" in typed(*compare[1:])
    assert Path(tensorboard[2]).is_dir()


def test_a_quiet_run_prints_its_results_only(typed, archives):
    shown = typed("train", *archives, *SMALL, *OPTIONS, "hydra.run.dir=run", "verbosity=quiet")
    assert "target/test_accuracy" in shown
    assert not any(word in shown for word in ("What to try next", "step 2", "results: "))
    shown = typed("train", "resume=run", "trainer.max_steps=4", "verbosity=normal")
    assert "\nstep 4/4: " in shown
    assert "What to try next:" in shown
    test = ("evaluate", "run=run", "allow_seen=true")
    overview = "target labels: known"
    assert [overview in typed(*test, *words) for words in ((), ("verbosity=quiet",), ("verbosity=debug",))] == [True, False, True]


def test_messages_of_verbs_whose_output_programs_read_are_on_standard_error(acclimate, tmp_path):
    write_run(tmp_path / "runs" / "a", "dann", accuracy=0.5)
    (write_run(tmp_path / "runs" / "b", "dann") / "metrics.json").write_text("{")
    for verbosity in ("quiet", "normal", "debug"):
        code, message = acclimate("compare", "runs", "format=csv", f"verbosity={verbosity}")
        assert (code, message.startswith("Warning: Left out: runs/b/metrics.json cannot be read")) == (0, True)


def test_features_are_to_be_used_by_another_method(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"folder": str(tmp_path / "outputs" / "a"), "method": {"_target_": "acclimate.methods.simclr.SimClr"}, "logger": {}}
    assert next_commands(config) == ["acclimate train init_from=outputs/a", "acclimate compare outputs"]


def test_features_of_own_data_are_used_on_the_same_data(typed, archives):
    words = (*archives, *SMALL, *OPTIONS[1:], "hydra.run.dir=first, quick")
    shown = typed("train", "method=simclr", "method.temperature=0.4", *words).splitlines()
    following = shlex.split(shown[shown.index("What to try next:") + 1])[1:]
    assert not any(word.startswith("method") for word in following)
    assert "source/test_accuracy" in typed(*following, "hydra.run.dir=second")


def test_each_logger_is_shown_with_its_own_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trackers = {name: {"_target_": f"acclimate.training.trackers.{name}"} for name in ("WandB", "MLflow")}
    for loggers, expected in (
        ({"csv": {"_target_": "acclimate.training.loggers.Table"}, "left out": None}, []),
        ({"_target_": "pytorch_lightning.loggers.TensorBoardLogger"}, ["tensorboard --logdir 'my runs'"]),
        (
            trackers,
            ["wandb sync 'my runs/a'/wandb/offline-run-*", "mlflow ui --backend-store-uri sqlite:///outputs/mlflow/mlflow.db"],
        ),
    ):
        config = {"folder": "my runs/a", "method": {"_target_": "acclimate.methods.dann.Dann"}, "logger": loggers}
        assert next_commands(config)[3:] == expected


@pytest.mark.parametrize(
    ("value", "message"), [("loud", "verbosity=loud must be one of quiet, normal, debug."), ("qiet", "Did you mean quiet?")]
)
@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "compare", "cache", "rank"])
def test_a_verbosity_that_does_not_exist_is_refused(verb, value, message, acclimate):
    code, text = acclimate(verb, f"verbosity={value}")
    assert code == 2
    assert message in text
    assert "Traceback" not in text


def test_debugging_shows_where_a_message_comes_from(acclimate):
    code, text = acclimate("train", "verbosity=debug", "seed=-1")
    assert code == 2
    assert "Traceback" in text
    assert text.splitlines()[-1].endswith("seed=-1 must be a whole number from 0 to 4294967295.")
