"""Messages of the command about mistakes, and unusual images that are accepted."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image

from acclimate import __version__, cli
from acclimate.data.images.decoding import decode

DIGITS = ["trainer=smoke", "data.num_source=40", "data.num_source_eval=20", "model.backbone.width=4", "callbacks.pictures=null"]
FOLDERS = [
    "trainer=smoke",
    "data=image_folder",
    "data.num_workers=0",
    "data.batch_size=4",
    "model.backbone.width=4",
    "callbacks.pictures=null",
]


@pytest.fixture(autouse=True)
def in_an_empty_folder(acclimate):
    """Also tests that write files before they call the command."""


@pytest.fixture
def refused(acclimate):
    """Run a command that must be refused; return the message."""

    def run(*arguments: str) -> str:
        code, message = acclimate(*arguments)
        assert code == 2, message
        assert message.startswith("acclimate: ")
        assert "Traceback" not in message
        assert not list(Path().rglob("metrics.json")), "a refused run looks finished"
        return message

    return run


def write_images(folder: str, *, classes=("ant", "bee"), number: int = 6, mode: str = "RGB") -> Path:
    random = np.random.default_rng(0)
    for name in classes:
        (Path(folder) / name).mkdir(parents=True)
        for place in range(number):
            pixels = random.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert(mode).save(Path(folder) / name / f"{place}.{'jpg' if mode == 'CMYK' else 'png'}")
    return Path(folder)


def test_a_missing_folder_is_named(refused):
    message = refused("train", *FOLDERS, "data.source=nowhere")
    assert "data.source=nowhere is not a folder" in message
    assert "data.source=DIR" in message


def test_a_source_that_is_not_named_is_asked_for(refused):
    assert "data.source=VALUE" in refused("train", *FOLDERS)


def test_an_empty_folder_is_named_with_the_layout_that_it_needs(refused):
    Path("empty").mkdir()
    assert "empty/CLASS/IMAGE.jpg" in refused("train", *FOLDERS, "data.source=empty")


def test_different_classes_are_listed_for_both_domains(refused):
    write_images("home", classes=("ant", "bee", "wasp"))
    write_images("away", classes=("ant", "bee", "fly"))
    message = refused("train", *FOLDERS, "data.source=home", "data.target=away")
    assert "ant, bee, fly" in message
    assert "ant, bee, wasp" in message
    assert "data.classes=[ant,bee]" in message


def test_shared_classes_can_be_kept(acclimate):
    write_images("home", classes=("ant", "bee", "wasp"))
    write_images("away", classes=("ant", "bee", "fly"))
    code, message = acclimate("train", *FOLDERS, "data.source=home", "data.target=away", "data.classes=[ant,bee]")
    assert code == 0, message


def test_one_class_is_not_enough(refused):
    write_images("home", classes=("ant",))
    assert "only the class folder ant" in refused("train", *FOLDERS, "data.source=home", "data.target=null")


@pytest.mark.parametrize("content", [b"this is text", b""])
def test_a_file_that_is_no_image_is_named_or_left_out(content, refused, acclimate):
    write_images("home")
    (Path("home") / "ant" / "notes.jpg").write_bytes(content)
    fine_tune = ["train", *FOLDERS, "data.source=home", "method=fine_tune"]
    message = refused(*fine_tune)
    assert "notes.jpg" in message
    assert "data.on_bad_image=skip" in message
    code, message = acclimate(*fine_tune, "data.on_bad_image=skip", "hydra.run.dir=skipped")
    assert code == 0, message
    assert "notes.jpg" in (Path("skipped") / "train.log").read_text()


def test_a_truncated_image_is_named(refused):
    folder = write_images("home")
    whole = (folder / "bee" / "3.png").read_bytes()
    (folder / "bee" / "3.png").write_bytes(whole[: len(whole) // 2])
    assert "3.png" in refused("train", *FOLDERS, "data.source=home", "method=fine_tune")


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "LA", "RGBA", "1", "I;16"])
def test_unusual_images_train_like_others(mode, acclimate):
    write_images("home", mode=mode) if mode != "I;16" else write_deep_images("home")
    code, message = acclimate("train", *FOLDERS, "data.source=home", "method=fine_tune")
    assert code == 0, message


def write_deep_images(folder: str) -> None:
    for name in ("ant", "bee"):
        (Path(folder) / name).mkdir(parents=True)
        for place in range(6):
            Image.fromarray(np.full((20, 24), 40_000 + place, dtype=np.uint16)).save(Path(folder) / name / f"{place}.png")


def test_sixteen_bits_are_scaled_not_clipped():
    write_deep_images("home")
    assert abs(int(decode(Path("home/ant/0.png")).max()) - round(40_000 / 257)) <= 1


def test_a_target_that_is_too_small_to_divide_is_refused(refused):
    write_images("home")
    write_images("away", number=1)
    assert "too few to divide" in refused("train", *FOLDERS, "data.source=home", "data.target=away")


def test_all_mistakes_in_a_configuration_are_listed_at_once(refused):
    message = refused("train", *DIGITS, "sed=1", "method.max_reversl=2", "method.batch_norm=jont", "trainer.max_epochs=five")
    assert "4 problems" in message
    for hint in ("Did you mean seed?", "Did you mean max_reversal?", "Did you mean joint?", "trainer.max_epochs=five"):
        assert hint in message


def test_a_typo_in_an_experiment_is_found(refused):
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/trial.yaml").write_text("# @package _global_\noptimizer:\n  learning_rate: 0.1\ntrainr:\n  max_epochs: 3\n")
    message = refused("train", "--config-dir", "mine", "experiment=trial")
    assert "optimizer.learning_rate" in message
    assert "Did you mean trainer?" in message


def test_an_unknown_option_of_a_group_is_answered_with_those_that_exist(refused):
    message = refused("train", "method=dannn")
    assert "Did you mean dann?" in message
    assert "source_only" in message


def test_an_unknown_verb_is_answered_with_a_similar_one(refused):
    assert "Did you mean train?" in refused("trian")


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("data.batch_size=0", "data.batch_size must be at least 1"),
        ("data.crop=2", "data.crop must be above 0"),
        ("method.max_reversal=-1", "method.max_reversal must be at least 0"),
        ("model.backbone.kernel_size=4", "kernel_size must be odd"),
        ("trainer.accelerator=abacus", "abacus"),
        ("trainer.limit_val_batches=0", "leaves nothing to select a checkpoint by"),
        ("trainer.val_check_interval=300", "batches of an epoch. Count batches of all epochs together"),
        ("trainer.check_val_every_n_epoch=9", "so there would be no checkpoint to select. Use trainer.check_val_every_n_epoch=2 or less."),
        ("trainer.max_time=00:00:00:00", "The training ended before its first validation"),
        ("trainer.limit_val_batches=1e-9", "Type trainer.limit_val_batches=1 for one batch"),
        ("trainer.limit_test_batches=0.25", "Type trainer.limit_test_batches=1 for one batch"),
        ("trainer.limit_train_batches=1e-9", "Lightning rejects the configuration: You requested to check 1e-09 of the `train_dataloader`"),
        ("data.batch_size=100000", "is more than the 40 training inputs of the source"),
        ("data.target_batch_size=100000", "training inputs of the target, which would be repeated in every batch."),
        ("callbacks.checkpoint.monitor=nope", "callbacks.checkpoint.monitor=nope would keep another checkpoint than the selected one."),
        (
            "callbacks.checkpoint.monitor=null",
            "callbacks.checkpoint.monitor=null would keep the last checkpoint instead of the selected one.",
        ),
        ("callbacks.checkpoint.mode=min", "Set its key mode=max, such as callbacks.checkpoint.mode=max."),
        ("callbacks.checkpoint.save_top_k=3", "would write several checkpoints to one file"),
        ("optimizer.foreach=true", "The optimizer cannot be built: `fused` and `foreach` cannot be `True` together."),
        ("optimizer.lr=-1", "optimizer.lr must be above 0, but is -1"),
        (
            "scheduler={_target_:acclimate.schedules.cosine_decay,_partial_:true,warmup:1}",
            "scheduler.warmup must be at least 0 and below 1",
        ),
    ],
)
def test_a_value_out_of_its_range_is_named(override, hint, refused):
    assert hint in refused("train", *DIGITS, *(["scheduler=cosine"] if "warmup" in override else []), override)


def test_what_stops_early_is_answered_with_what_is_measured(refused):
    message = refused("train", *DIGITS, "callbacks=early_stopping", "callbacks.early_stopping.monitor=nope")
    assert "EarlyStopping of callbacks monitors nope, which is not measured. Choose one of" in message
    assert " selection/value, " in message
    message = refused("train", *DIGITS, "callbacks=early_stopping", "callbacks.early_stopping.mode=min", "hydra.run.dir=min")
    assert "EarlyStopping of callbacks has mode=min, but the larger selection/value is, the better." in message


def test_weights_that_were_not_selected_are_called_the_last(acclimate):
    code, message = acclimate("train", *DIGITS, "method=source_only", "callbacks.checkpoint=null", "hydra.run.dir=run")
    assert code == 0
    assert "the last weights are kept instead of the selected ones" in message + Path("run/train.log").read_text()
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert (metrics["selection/name"], metrics["selection/value"]) == ("last", metrics["train/steps"])


def test_a_term_with_a_value_out_of_its_range_is_named(refused):
    message = refused("train", "+terms=mcc", "method.terms.mcc.temperature=0", *DIGITS)
    assert "method.terms.mcc.temperature must be above 0, but is 0." in message


@pytest.mark.parametrize("method", ["dann", "simclr", "barlow_twins", "shot"])
def test_a_batch_in_which_there_is_nothing_to_compare_is_refused(method, refused, acclimate):
    assert acclimate("train", "method=source_only", *DIGITS, "hydra.run.dir=origin")[0] == 0
    Path("origin/metrics.json").rename("origin/finished.json")
    for file in Path("origin/checkpoints").glob("*last*"):
        file.unlink()
    assert "data.batch_size=2 or more" in refused("train", f"method={method}", *DIGITS, "data.batch_size=1", "init_from=origin")


@pytest.mark.parametrize("method", ["bss", "bsp"])
def test_a_batch_with_fewer_images_than_singular_values_is_refused(method, refused):
    words = (f"method={method}", "method.num_values=5", *DIGITS, "data.batch_size=4")
    assert "data.batch_size=4 is too small for this method or this model. Use data.batch_size=5" in refused("train", *words)


def test_a_single_target_image_in_a_batch_is_refused(refused):
    assert "data.target_batch_size=1" in refused("train", "method=dann", *DIGITS, "data.target_batch_size=1")


def test_a_model_without_bottleneck_trains_on_single_images(acclimate):
    assert acclimate("train", "method=source_only", "model.bottleneck=null", *DIGITS, "data.batch_size=1")[0] == 0


def test_outputs_that_cannot_be_written_are_named(refused):
    Path("outputs").write_text("a file in the way")
    message = refused("train", *DIGITS)
    assert "outputs" in message
    assert "hydra.run.dir=DIR" in message


def record(folder: str) -> dict[str, str]:
    """Return the record of a run's start, by file."""
    return {file.name: file.read_text() for file in Path(folder, ".hydra").iterdir()}


def test_a_run_is_not_overwritten(acclimate):
    assert acclimate("train", *DIGITS, "hydra.run.dir=first")[0] == 0
    before = (Path("first") / "metrics.json").read_bytes(), record("first")
    code, message = acclimate("train", *DIGITS, "seed=1", "hydra.run.dir=first")
    assert code == 2
    assert "resume=first" in message
    assert before == ((Path("first") / "metrics.json").read_bytes(), record("first"))


def test_a_checkpoint_of_a_run_that_was_killed_early_is_not_overwritten(refused, acclimate):
    assert acclimate("train", *DIGITS, "hydra.run.dir=first")[0] == 0
    for name in ("metrics.json", "checkpoints/last.ckpt"):
        Path("first", name).unlink()
    before = Path("first/checkpoints/best.ckpt").read_bytes()
    assert "resume=first" in refused("train", *DIGITS, "seed=1", "hydra.run.dir=first")
    assert Path("first/checkpoints/best.ckpt").read_bytes() == before


def test_a_failing_job_of_a_sweep_does_not_stop_the_others(acclimate):
    code, message = acclimate("train", "-m", *DIGITS, "method=fine_tune", "method.backbone_rate=-1,1", "hydra.sweep.dir=sweep")
    assert code == 2
    assert "backbone_rate" in message
    assert len(list(Path("sweep").rglob("metrics.json"))) == 1


def test_a_checkpoint_of_another_architecture_is_refused(refused):
    torch.save(torch.nn.Linear(3, 4).state_dict(), "other.pth")
    message = refused("train", *DIGITS, "model.weights=other.pth")
    assert "another architecture" in message
    assert "body.0.weight" in message or "0.weight" in message


@pytest.mark.parametrize("name", ["missing.pth", "garbage.pth", "empty.pth", "empty.safetensors"])
def test_weights_that_cannot_be_read_are_named(name, refused):
    Path("garbage.pth").write_bytes(b"no weights in here")
    Path("empty.pth").touch()
    Path("empty.safetensors").touch()
    assert name in refused("train", *DIGITS, f"model.weights={name}")


@pytest.mark.parametrize("model", [["model=resnet18"], ["model=timm", "model.backbone.name=resnet18"]])
def test_weights_that_cannot_be_downloaded_are_explained(model, refused, monkeypatch):
    def unreachable(*arguments, **keywords):
        raise OSError("Network is unreachable")

    from huggingface_hub import constants

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", "no_cache")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "no_hub")
    message = refused("train", *[text for text in DIGITS if "width" not in text], *model)
    for way_out in ("model.weights=FILE.pth", "model=efficientnet_lite0", "model.weights=null"):
        assert way_out in message


def test_unknown_names_of_weights_are_answered_with_those_that_exist(refused):
    message = refused("train", *[text for text in DIGITS if "width" not in text], "model=resnet18", "model.weights=IMAGENET")
    assert "IMAGENET1K_V1" in message


def test_images_of_a_size_that_the_model_does_not_take_are_refused(refused):
    model = ("model=timm", "model.backbone.name=vit_tiny_patch16_224", "model.weights=null")
    message = refused("train", *[text for text in DIGITS if "width" not in text], *model, "data.image_size=96")
    assert "accepts only images of 224 pixels, but data.image_size is 96" in message


def test_adaptation_without_a_target_is_refused(refused):
    write_images("home")
    message = refused("train", *FOLDERS, "data.source=home", "data.target=null", "method=dann")
    assert "data.target=PLACE" in message
    assert "method=fine_tune" in message


def test_the_oracle_needs_labels(refused):
    write_images("home")
    for place, file in enumerate(write_images("mixed").rglob("*.png")):
        file.rename(Path("mixed") / f"{place}.png")
    for name in ("ant", "bee"):
        (Path("mixed") / name).rmdir()
    message = refused("train", *FOLDERS, "data.source=home", "data.target=mixed", "selection=oracle")
    assert "selection=auto" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(refused):
    assert "gpu" in refused("train", *DIGITS[1:], "trainer=gpu").lower()


@pytest.mark.parametrize(
    "command",
    [["evaluate", "run=nowhere"], ["predict", "run=nowhere", "inputs=x", "out=y"], ["compare", "nowhere"], ["train", "resume=nowhere"]],
)
def test_a_folder_without_a_run_is_named(command, refused):
    assert "nowhere" in refused(*command)


@pytest.mark.parametrize("command", [["evaluate"], ["predict", "run=x"], ["compare"]])
def test_what_a_verb_needs_is_asked_for(command, refused):
    assert "acclimate" in refused(*command)


def test_a_run_that_is_under_way_has_its_folder_to_itself(refused):
    Path("busy").mkdir()
    with FileLock("busy/.lock"):
        assert "Another run is using busy" in refused("train", *DIGITS, "hydra.run.dir=busy").replace(f"{Path.cwd()}/", "")


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_is_not_continued_with_other_settings(finished, refused, acclimate):
    assert acclimate("train", *DIGITS, "hydra.run.dir=run")[0] == 0
    if not finished:
        Path("run/metrics.json").unlink()
    before = record("run")
    metrics = Path("run/metrics.json")
    if finished:
        metrics = metrics.rename("finished.json")
        Path("run/metrics.json").symlink_to("../finished.json")
    code, message = acclimate("train", "resume=run", "optimizer.lr=0.5")
    assert code == 2
    assert "optimizer.lr=0.5 (0.001 there)" in message
    assert record("run") == before


def test_what_a_run_was_started_with_outlasts_mistakes_in_continuing_it(acclimate):
    assert acclimate("train", *DIGITS, "hydra.run.dir=run")[0] == 0
    Path("run/metrics.json").unlink()
    before = record("run")
    with FileLock("run/.lock"):
        assert "Another run is using" in acclimate("train", "resume=run", "trainer.log_every_n_steps=2")[1]
        assert "Another run is using" in acclimate("train", *DIGITS, "seed=1", "hydra.run.dir=run")[1]
    assert "log_evry_n_steps" in acclimate("train", "resume=run", "trainer.log_evry_n_steps=2")[1]
    assert record("run") == before
    assert acclimate("train", "resume=run", "trainer.log_every_n_steps=2") == (0, "")
    assert "trainer.log_every_n_steps=2" in record("run")["overrides.yaml"]


def test_another_job_of_a_sweep_is_not_taken_for_one_that_is_finished(acclimate):
    sweep = ("train", "-m", *DIGITS, "hydra.sweep.dir=sweep", "trainer.max_steps=1", "seed=0,1")
    assert acclimate(*sweep, "optimizer.lr=0.001")[0] == 0
    assert acclimate(*sweep, "optimizer.lr=0.001", "resume=true")[0] == 0
    before = record("sweep/seed=0")
    for resume in ((), ("resume=true",)):
        code, message = acclimate(*sweep, "optimizer.lr=0.01", *resume)
        assert code == 2
        assert "optimizer.lr=0.01 (0.001 there)" in message
        assert record("sweep/seed=0") == before


def test_a_finished_run_is_made_longer_but_not_shorter(acclimate):
    assert acclimate("train", *DIGITS, "hydra.run.dir=run")[0] == 0
    assert acclimate("train", "resume=run", "trainer.log_every_n_steps=2") == (0, "")
    assert "trainer.max_epochs=1 is less" in acclimate("train", "resume=run", "trainer.max_epochs=1")[1]
    assert acclimate("train", "resume=run", "trainer.max_epochs=3") == (0, "")


def test_predictions_of_a_model_on_data_of_one_s_own_have_a_folder_made_for_them(acclimate):
    assert acclimate("train", *DIGITS, "hydra.run.dir=run")[0] == 0
    checkpoint = torch.load("run/checkpoints/best.ckpt", weights_only=True)
    # Which need not know of crops and of batches of evaluation.
    checkpoint["config"]["data"] = {"_target_": "mine.Inverted"}
    torch.save(checkpoint, "run/checkpoints/best.ckpt")
    Path("photos").mkdir()
    Image.new("RGB", (40, 40)).save("photos/one.png")
    assert acclimate("predict", "run=run", "inputs=photos", "out=new/predictions.csv")[0] == 0
    assert Path("new/predictions.csv").read_text().splitlines()[1].startswith("one.png,")


@pytest.mark.parametrize("command", [["evaluate", "run=nowhere"], ["predict", "run=nowhere", "inputs=photos"], ["compare", "nowhere"]])
def test_an_output_that_cannot_be_written_is_named_before_the_work_is_done(command, refused):
    Path("folder").mkdir()
    Path("file").touch()
    assert "out=folder is a folder. Name a file in it: out=folder/FILE" in refused(*command, "out=folder")
    assert "is not a folder. Name a file in another folder" in refused(*command, "out=file/table")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["method=DANN"], "Did you mean dann?"),
        (["method=dann-mcc"], "Did you mean dann_mcc?"),
        (["model=resnet34"], "Type model=timm model.backbone.name=resnet34."),
        (["model=reznet50"], "Did you mean resnet50?"),
        (["optimizer=1e400"], "optimizer=1e400: there is no such option. Choose one of adamw, sgd."),
        (["optimizer=-1"], "optimizer=-1: there is no such option."),
        (["data=arrays", "data.src=X"], "No value for data.source. Type data.source=VALUE. There is no key data.src: type data.source=X."),
        (["trainer.epochs=5"], "trainer.epochs: Trainer has no such key. Did you mean max_epochs?"),
        (["lr=.1"], "lr is not a key of the configuration. Did you mean optimizer.lr=0.1?"),
        (["epochs=5"], "epochs is not a key of the configuration. Did you mean trainer.max_epochs=5?"),
        (["batch_size=8"], "batch_size is not a key of the configuration. Did you mean data.batch_size=8?"),
        (["trainer.lr=.1"], "Did you mean optimizer.lr=0.1?"),
        (["logger={mine:{_target_:pytorch_lightning.loggers.CometLogger}}", *DIGITS], "comet"),
        (
            ["logger={_target_:pytorch_lightning.loggers.WandbLogger}", *DIGITS],
            "Write it below a name of your choice: logger.NAME._target_.",
        ),
        (["optimizer={lrate:0.1}"], "optimizer.lrate: AdamW has no such key. It takes lr, betas"),
        (["-m", "seed=0,1", "lr=.1"], "Did you mean optimizer.lr=0.1?"),
        (["seed=0,1", "-m", "data.batch_size=0"], "data.batch_size must be at least 1"),
        (["data=image_folder", "data.source=nowhere", "data.target=null", "method=fine_tune"], "data.source=nowhere is not a folder"),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant_and_leaves_nothing_behind(arguments, hint, refused):
    assert hint in refused("train", *arguments)
    assert not list(Path().iterdir())


def test_what_messages_advise_works(acclimate):
    small = ["model.weights=null", *(text for text in DIGITS if "width" not in text), "trainer.limit_train_batches=1"]
    advised = ["trainer.max_epochs=1", "optimizer.lr=0.1", "data.batch_size=8", "model=timm", "model.backbone.name=resnet10t"]
    code, message = acclimate("train", "seed=0", "-m", "data.image_size=32", *small, *advised)
    assert code == 0, message
    assert list(Path("outputs").rglob("metrics.json"))


def test_training_without_a_progress_bar_needs_one_key(acclimate):
    code, message = acclimate("train", *DIGITS, "trainer.enable_progress_bar=false")
    assert code == 0, message


@pytest.mark.parametrize("arguments", [["--version"], ["train", "seed=1", "--version"]])
def test_the_version_is_told_anywhere(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["acclimate", *arguments])
    cli.main()
    assert capsys.readouterr().out == f"acclimate {__version__}\n"


@pytest.mark.parametrize("arguments", [["-h", "train"], ["train", "seed=1", "-h"], ["train", "-m", "--help", "seed=1"]])
def test_help_stands_anywhere(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["acclimate", *arguments])
    cli.main()
    assert capsys.readouterr().out.startswith("usage: acclimate train")
