"""Runs that are continued for longer, or with another learning rate, and what is refused without a trace."""

import json
import shutil
from pathlib import Path

import pytest
from small_runs import SMALL, compose, differences, trained_state

from acclimate.errors import ConfigError, Interrupted
from acclimate.runs.checkpoint_files import best_checkpoint, last_checkpoint
from acclimate.runs.checkpoints import read_checkpoint
from acclimate.runs.record import read_record
from acclimate.training import run

# Epochs of 5 batches.
CONSTANT = ("method=source_only", "scheduler=constant", "model.dropout=0.3", "selection=source_accuracy")
FAST = ("method=source_only", "selection=source_accuracy", "trainer.max_epochs=1")
STRANGE = "it's (a) run, x=1 é"


@pytest.fixture(scope="module")
def finished(archives, tmp_path_factory):
    """A run of two epochs."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    run.train(compose(folder, *archives, *CONSTANT, "trainer.max_epochs=2"))
    return folder


@pytest.fixture
def continue_run(finished, archives, tmp_path):
    """Continues a copy of the run in Python, which lies elsewhere, with overrides."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)

    def train(*overrides, **changes):
        config = compose(folder, *archives, *CONSTANT, "trainer.max_epochs=2", *overrides)
        return run.train({**config, "resume": True, **changes})

    return folder, train


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".log"}


@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        (("trainer.max_epochs=2",), ("trainer.max_epochs=4",)),
        (("trainer.max_steps=7",), ("trainer.max_steps=18",)),
        (("trainer.max_steps=10",), ("trainer.max_epochs=4", "trainer.max_steps=-1")),
    ],
)
def test_finished_run_that_trains_on_is_the_run_that_was_to_be_as_long(archives, tmp_path, shorter, longer):
    whole = run.train(compose(tmp_path / "whole", *archives, *CONSTANT, *longer))
    run.train(compose(tmp_path / "run", *archives, *CONSTANT, *shorter))
    metrics = run.train(compose(tmp_path / "run", *archives, *CONSTANT, *longer, "resume=true"))
    first, second = trained_state(tmp_path / "whole"), trained_state(tmp_path / "run")
    assert differences(first["state_dict"], second["state_dict"]) == []
    assert first["global_step"] == second["global_step"]
    assert metrics["train/steps"] == whole["train/steps"]


def test_learning_rate_of_a_longer_run_is_that_of_its_new_progress(archives, tmp_path):
    linear = ("method=source_only", "scheduler=inverse_decay", "scheduler.speed=1", "scheduler.power=1")
    run.train(compose(tmp_path, *archives, *linear, "trainer.max_epochs=2"))
    seen = tmp_path / "rates"
    config = compose(tmp_path, *archives, *linear, "trainer.max_epochs=4", "resume=true")
    watch = {"_target_": "small_runs.RateHistory", "file": str(seen)}
    run.train({**config, "callbacks": {**config["callbacks"], "rates": watch}})
    # Half of 20 batches are done; the optimizer steps with the rate of the progress before each.
    expected = [0.001 / (1 + batches / 20) for batches in range(10, 20)]
    assert [float(line) for line in seen.read_text().split()] == pytest.approx(expected)


def test_results_of_the_earlier_end_are_kept_and_the_run_counts_as_stopped_meanwhile(continue_run):
    folder, train = continue_run
    earlier = (folder / "metrics.json").read_text()
    stop = {"_target_": "small_runs.StopAt", "hook": "on_train_batch_end", "batches": 12}
    with pytest.raises(Interrupted):
        train("trainer.max_epochs=3", callbacks={"stop": stop})
    assert not (folder / "metrics.json").exists()
    assert (folder / "metrics-10-steps.json").read_text() == earlier
    config = read_record(folder).config
    assert config["trainer"]["max_epochs"] == 3
    assert run.train({**config, "callbacks": {}, "resume": True})["train/steps"] == 15
    assert (folder / "metrics-10-steps.json").read_text() == earlier
    assert json.loads((folder / "run.json").read_text())["changes"][0] == {"step": 10, "trainer.max_epochs": [2, 3]}


@pytest.mark.parametrize(
    ("overrides", "changes", "message"),
    [
        (["trainer.max_epochs=1"], {}, "has already trained for 10 steps in 2 epochs, and trainer.max_epochs=1 is less"),
        (["trainer.max_steps=9"], {}, "trainer.max_steps=9 is less. Set at least trainer.max_steps=10"),
        (["trainer.max_epochs=3", "trainer.val_check_interval=1000"], {}, "val_check_interval"),
        (["trainer.max_epochs=3", "optimizer.lr=0.5"], {}, r"optimizer.lr=0.5 \(0.001 there\).*add 'resume_with=\[optimizer.lr\]'"),
        (["trainer.max_epochs=3", "data.batch_size=5"], {"resume_with": ["data.batch_size"]}, "data.batch_size=5"),
        (["optimizer.lr=0.5"], {"resume_with": ["optimizer.lr"]}, "is finished, so optimizer.lr=0.5 would have no effect"),
    ],
)
def test_what_is_refused_leaves_the_run_as_it_was(continue_run, overrides, changes, message):
    folder, train = continue_run
    before = files(folder)
    with pytest.raises(ConfigError, match=message):
        train(*overrides, **changes)
    assert files(folder) == before


def test_stopped_run_does_not_keep_the_length_that_it_refuses(acclimate, archives, tmp_path):
    words = (*archives, *SMALL, *FAST, "trainer.max_epochs=3")
    stop = "callbacks.stop={_target_:small_runs.StopAt,hook:on_train_batch_end,batches:11}"
    assert acclimate("train", *words, stop, "hydra.run.dir=run")[0] == 130
    trust = "trust=small_runs"
    code, message = acclimate("train", "resume=run", "trainer.max_epochs=1", trust)
    assert code == 2
    assert "trainer.max_epochs=1 is less. Set at least trainer.max_epochs=3" in message
    assert acclimate("train", "resume=run", "callbacks.stop=null", trust) == (0, "")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["train/steps"] == 15
    assert acclimate("train", "resume=run", "trainer.max_epochs=4", trust) == (0, "")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["train/steps"] == 20


def test_epochs_beside_steps_are_not_taken_for_more_training(archives, tmp_path):
    config = compose(tmp_path, *archives, *CONSTANT, "trainer.max_steps=3")
    run.train(config)
    longer = {**config, "resume": True, "trainer": {**config["trainer"], "max_epochs": 9}}
    with pytest.raises(ConfigError, match=r"counts steps \(trainer.max_steps=3\).*or trainer.max_steps=-1 as well"):
        run.train(longer)


def test_learning_rate_that_is_named_takes_the_place_of_the_one_before(continue_run):
    folder, train = continue_run
    options = ("optimizer.lr=0.01", "optimizer.weight_decay=0.5", "method.backbone_rate=1.0")
    stop = {"_target_": "small_runs.PowerFailure", "batches": 12}
    with pytest.raises(RuntimeError, match="power"):
        train(*options[:2], "trainer.max_epochs=3", resume_with=["optimizer.lr", "optimizer.weight_decay"], callbacks={"stop": stop})
    # The power went out before a checkpoint had the new rate, but it has been accepted.
    train(*options[:2], "trainer.max_epochs=3")
    checkpoint = read_checkpoint(last_checkpoint(folder))
    groups = checkpoint["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in groups] == pytest.approx([0.01, 0.01])
    assert [group["weight_decay"] for group in groups] == [0.5, 0.5]
    assert checkpoint["lr_schedulers"][0]["base_lrs"] == pytest.approx([0.01, 0.01])
    assert checkpoint["config"]["optimizer"]["lr"] == 0.01
    changes = json.loads((folder / "run.json").read_text())["changes"][0]
    assert changes["optimizer.lr"] == [0.001, 0.01]
    # What was named once is not named for ever.
    with pytest.raises(ConfigError, match=r"optimizer.lr=0.02 \(0.01 there\)"):
        train("optimizer.lr=0.02", "trainer.max_epochs=4")


def test_schedule_that_is_named_may_be_another_one(continue_run):
    folder, train = continue_run
    with pytest.raises(ConfigError, match=r"scheduler\._target_"):
        train("scheduler=cosine", "trainer.max_epochs=4")
    train("scheduler=cosine", "trainer.max_epochs=4", resume_with=["scheduler"])
    rates = [group["lr"] for group in read_checkpoint(last_checkpoint(folder))["optimizer_states"][0]["param_groups"]]
    assert rates == pytest.approx([0.0, 0.0])


def test_best_checkpoint_of_a_folder_that_was_moved_stays_the_best(continue_run):
    folder, train = continue_run
    best = read_checkpoint(best_checkpoint(folder))["global_step"]
    # A learning rate of nothing: no validation is better than the best so far.
    train("trainer.max_epochs=4", "optimizer.lr=1e-30", resume_with=["optimizer.lr"])
    assert read_checkpoint(best_checkpoint(folder))["global_step"] == best


def test_patience_of_a_continued_run_is_the_one_that_is_asked_for(archives, tmp_path):
    patient = ("callbacks=early_stopping", "callbacks.early_stopping.min_delta=100", "trainer.max_epochs=9")
    first = run.train(compose(tmp_path, *archives, *CONSTANT, *patient, "callbacks.early_stopping.patience=1"))
    assert first["train/steps"] == 10
    longer = (*patient, "callbacks.early_stopping.patience=3", "trainer.max_epochs=10", "resume=true")
    assert run.train(compose(tmp_path, *archives, *CONSTANT, *longer))["train/steps"] == 20


def test_folder_of_any_name_is_one_folder_in_every_verb(acclimate, archives, tmp_path):
    words = (*archives, *SMALL, *FAST)
    assert acclimate("train", *words, f"hydra.run.dir={STRANGE}") == (0, "")
    assert acclimate("train", f"resume={STRANGE}", "trainer.max_epochs=2") == (0, "")
    assert acclimate("evaluate", f"run={STRANGE}", "trainer.enable_progress_bar=true", f"out={STRANGE}.json") == (0, "")
    assert acclimate("train", *words, f"init_from={STRANGE}", f"hydra.run.dir={STRANGE}/further") == (0, "")
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} >= {STRANGE}
    assert json.loads((tmp_path / STRANGE / "metrics.json").read_text())["train/steps"] == 10
    assert (tmp_path / STRANGE / "further" / "metrics.json").exists()


def test_chain_lies_in_a_folder_of_any_name(acclimate, archives, tmp_path):
    stages = ("first.method=source_only", "second.method=ada_bn", "trainer.max_epochs=1")
    assert acclimate("chain", *archives, *SMALL, *stages, f"hydra.run.dir={STRANGE}") == (0, "")
    assert acclimate("chain", f"resume={STRANGE}") == (0, "")
    assert (tmp_path / STRANGE / "second" / "metrics.json").exists()


def test_data_in_a_folder_of_any_name_is_found(acclimate, archives, tmp_path):
    place = Path(STRANGE)
    place.mkdir()
    copies = [f"data.{name}={shutil.copy(archives[number].partition('=')[2], place)}" for number, name in ((1, "source"), (2, "target"))]
    assert acclimate("train", "data=arrays", *copies, *SMALL, *FAST, "hydra.run.dir=run") == (0, "")


def test_run_that_was_killed_while_its_record_was_written_is_started_again(acclimate, archives, tmp_path):
    arguments = (*archives, *SMALL, *FAST, "hydra.run.dir=run")
    assert acclimate("train", *arguments)[0] == 0
    for path in (tmp_path / "run").iterdir():
        if path.name != ".hydra":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, printed = acclimate("train", "resume=run")
    assert code == 2
    assert "nothing to continue" in printed
    assert "hydra.run.dir=run" in printed
    assert acclimate("train", *arguments)[0] == 0
    assert (tmp_path / "run" / "metrics.json").exists()
