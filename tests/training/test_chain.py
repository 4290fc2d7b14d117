"""Runs in a row, in one command that goes on where it was stopped."""

import json
import shutil

import pytest
from small_runs import SMALL, differences, trained_state

from acclimate import cli
from acclimate.errors import ConfigError
from acclimate.training.chain import divide

STAGES = ("first", "second")
RANDOM = ("data.source_view=shift", "data.target_views=[shift]", "model.dropout=0.3", "trainer.max_epochs=2")


@pytest.fixture
def words(archives):
    return ("first.method=simclr", "second.method=dann", *archives, *SMALL, *RANDOM)


def stop(stage, batches):
    """A word that makes Ctrl-C arrive in a stage."""
    return f"{stage}.callbacks.stop={{_target_:small_runs.StopAt,hook:on_train_batch_end,batches:{batches}}}"


def results(folder):
    return {stage: [trained_state(folder / stage, name) for name in ("last.ckpt", "best.ckpt")] for stage in STAGES}


def metrics(folder, stage):
    contents = json.loads((folder / stage / "metrics.json").read_text())
    return {name: value for name, value in contents.items() if name not in ("train/seconds", "train/samples_per_second")}


@pytest.mark.parametrize("stages", [["first"], ["second"], ["first", "second"]])
def test_stopped_chain_goes_on_as_if_never_stopped(acclimate, words, tmp_path, stages):
    assert acclimate("chain", *words, "hydra.run.dir=whole") == (0, "")
    stops = [stop(stage, 4) for stage in stages]
    code, message = acclimate("chain", *words, *stops, "hydra.run.dir=stopped")
    for stage in stages:
        assert code == 130
        assert message.strip() == f"acclimate: Stopped in the {stage} stage. Continue with: acclimate chain resume=stopped"
        assert not (tmp_path / "stopped" / stage / "metrics.json").exists()
        code, message = acclimate("chain", "resume=stopped", "trust=small_runs")
    assert (code, message) == (0, "")
    assert differences(results(tmp_path / "whole"), results(tmp_path / "stopped")) == []
    assert all(metrics(tmp_path / "whole", stage) == metrics(tmp_path / "stopped", stage) for stage in STAGES)


def test_second_stage_starts_from_the_features_of_the_first(acclimate, words, tmp_path):
    acclimate("chain", *words, "hydra.run.dir=chain")
    shutil.copytree(tmp_path / "chain" / "first", tmp_path / "first")
    alone = [word.removeprefix("second.") for word in words if not word.startswith("first.")]
    assert acclimate("train", *alone, "init_from=first", "hydra.run.dir=second")[0] == 0
    assert differences(trained_state(tmp_path / "chain" / "second"), trained_state(tmp_path / "second")) == []


def test_finished_stage_is_not_trained_again(acclimate, words, tmp_path):
    acclimate("chain", *words, stop("second", 4), "hydra.run.dir=chain")
    checkpoint = tmp_path / "chain" / "first" / "checkpoints" / "last.ckpt"
    before = checkpoint.stat().st_mtime_ns
    assert acclimate("chain", "resume=chain", "trust=[small_runs.StopAt]") == (0, "")
    assert checkpoint.stat().st_mtime_ns == before


def test_classifier_of_the_source_is_adapted_without_it_in_the_next_stages(acclimate, archives, tmp_path):
    methods = ("first.method=source_only", "second.method=ada_bn", "third.method=shot")
    assert acclimate("chain", *methods, *archives, *SMALL, "trainer.max_epochs=1", "hydra.run.dir=chain") == (0, "")
    assert not any(name.startswith("source/") for name in metrics(tmp_path / "chain", "third"))


def test_mistake_in_a_later_stage_is_found_before_the_first_one_trains(acclimate, words, tmp_path):
    code, message = acclimate("chain", *words, "second.method.max_reversl=1", "hydra.run.dir=chain")
    assert code == 2
    assert "method.max_reversl: Dann has no such key. Did you mean max_reversal?" in message
    assert not (tmp_path / "chain").exists()


def test_a_folder_that_holds_a_chain_is_not_written_over(acclimate, words, tmp_path):
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "chain.json").write_text("[]")
    code, message = acclimate("chain", *words, "hydra.run.dir=chain")
    assert code == 2
    assert "Continue it with acclimate chain resume=chain" in message


def test_a_folder_without_a_chain_is_not_resumed(acclimate, tmp_path):
    code, message = acclimate("chain", f"resume={tmp_path}")
    assert code == 2
    assert "is not the folder of a chain" in message


def test_seeds_of_a_chain_are_compared_as_one(acclimate, words, capsys):
    for seed in (0, 1):
        acclimate("chain", *words, f"seed={seed}", f"hydra.run.dir=chains/{seed}")
    cli.run_verb("compare", ["chains"])
    assert "dann init_from=simclr" in " ".join(capsys.readouterr().out.split())


def test_words_go_to_the_stages_that_they_name_or_to_all():
    words = ["first.method=simclr", "seed=1", "+second.terms=mcc", "second.+terms=bnm", "data=arrays", "third.seed=2", "third.~logger"]
    assert divide(words) == {
        "first": ["seed=1", "data=arrays", "method=simclr"],
        "second": ["seed=1", "data=arrays", "+terms=mcc", "+terms=bnm"],
        "third": ["data=arrays", "seed=2", "~logger"],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method=dann"], "but has: none"),
        (["first.method=simclr"], "but has: first"),
        (["second.method=dann", "third.method=shot"], "but has: second, third"),
        (["first.method=simclr", "third.method=dann"], "but has: first, third"),
        (["first.method=simclr", "second.method=dann", "-m"], "does not take -m"),
    ],
)
def test_what_is_no_chain_is_refused(words, message):
    with pytest.raises(ConfigError, match=message):
        divide(words)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (("simclr", "shot"), "SimClr trains no head, but Shot needs one"),
        (("simclr", "fine_tune"), "models of different architectures"),
        (("source_only", "co_tuning"), "can only be the first stage"),
    ],
)
def test_stages_that_do_not_follow_each_other_are_refused_before_the_first_trains(acclimate, archives, tmp_path, methods, message):
    first, second = (f"{stage}.method={method}" for stage, method in zip(STAGES, methods, strict=True))
    small = [word for word in SMALL if not word.startswith("model.bottleneck")]
    code, said = acclimate("chain", first, second, *archives, *small, "hydra.run.dir=chain")
    assert code == 2
    assert message in said
    assert not (tmp_path / "chain").exists()


def test_words_of_a_stranger_s_chain_are_not_replayed(acclimate, words, tmp_path):
    acclimate("chain", *words, stop("first", 1), "hydra.run.dir=stopped")
    record = json.loads((tmp_path / "stopped" / "chain.json").read_text())
    hostile = ["first.data._target_=os.system", "first.hydra.run.dir=elsewhere", "first.method=simclr", "second.method=dann"]
    (tmp_path / "stopped" / "chain.json").write_text(json.dumps({**record, "words": hostile}))
    assert acclimate("chain", "resume=stopped", "trust=small_runs") == (0, "")
    assert not (tmp_path / "elsewhere").exists()


def test_a_stage_of_a_stranger_s_chain_builds_nothing_of_its_own(acclimate, words, tmp_path):
    acclimate("chain", *words, stop("first", 1), "hydra.run.dir=stopped")
    record = json.loads((tmp_path / "stopped" / "chain.json").read_text())
    record["stages"]["second"]["data"]["_target_"] = "os.system"
    (tmp_path / "stopped" / "chain.json").write_text(json.dumps(record))
    code, message = acclimate("chain", "resume=stopped", "trust=small_runs")
    assert (code, "data._target_=os.system" in message) == (2, True)
