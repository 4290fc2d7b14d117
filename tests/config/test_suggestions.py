"""What is typed wrongly is answered with what it can be meant for, which exists."""

from pathlib import Path

import pytest

import acclimate as api
from acclimate.cli.arguments import refuse_malformed
from acclimate.config.suggestions import readers_of, suggest_readers
from acclimate.errors import ConfigError, UserError

PLACES = ("photos/cat/1.png", "arrays.npz", "rows.csv", "ROWS.CSV", "notes.txt")


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in PLACES:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        Path(place).touch()


def refused(*words):
    with pytest.raises(ConfigError) as problem:
        api.train(api.compose(words, folder=None if words[-1].startswith("hydra") else "run"))
    return str(problem.value)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("data=images", "Did you mean image_folder?"),
        ("data=csv", "Did you mean table or vectors?"),
        ("data=npz", "Did you mean arrays or vectors?"),
        ("data=digits", "Did you mean fonts_to_handwriting?"),
        ("data=embeddings", "Did you mean vectors?"),
        ("model=cnn", "Did you mean small_cnn?"),
        ("method=probe", "Did you mean linear_probe?"),
        ("experiment=own", "Did you mean own_images?"),
        ("method=mmd", "Did you mean dan or jan?"),
        ("method=jmmd", "Did you mean jan?"),
        ("method=coral", "Did you mean deep_coral?"),
        ("method=adversarial", "Did you mean adda or cdan or cdan_e or dann?"),
        ("method=domain_adversarial", "Did you mean dann?"),
        ("method=optimal_transport", "Did you mean deep_jdot?"),
        ("method=finetune", "Did you mean fine_tune?"),
        ("method=baseline", "Did you mean source_only?"),
        ("method=supervised", "Did you mean source_only?"),
        ("method=self-supervised", "Did you mean barlow_twins or rotation or simclr?"),
        ("method=self_training", "Did you mean pseudo_label?"),
        ("method=pseudo-labels", "Did you mean pseudo_label?"),
        ("method=linear_probing", "Did you mean linear_probe?"),
        ("method=test_time", "Did you mean tent?"),
        ("method=moco", "there is no such option. Choose one of"),
        ("data=photos", "To read photos, type data=image_folder data.source=photos."),
        ("data=rows.csv", "To read rows.csv, type data=table data.source=rows.csv."),
        ("data.source=photos", "type data=image_folder data.source=photos."),
        ("data.source=rows.csv", "type data=table data.source=rows.csv."),
        ("source=arrays.npz", "type data=arrays data.source=arrays.npz."),
        ("target=photos", "type data=image_folder data.target=photos."),
        ("method.mixup_rate=1", "Did you mean mixup?"),
        ("optimizer.momentum=0.9", "optimizer=sgd has this key: type optimizer=sgd optimizer.momentum=0.9."),
        ("device=cpu", "Did you mean trainer=cpu?"),
        ("gpu=1", "Did you mean trainer=gpu?"),
        ("algorithm=shot", "Did you mean method=shot?"),
        ("model.backbone=resnet18", "Did you mean model=resnet18?"),
        ("name=1", "type 'name=\"1\"', or name=null"),
        ("name=[a]", "must be text: type 'name=\"[\\'a\\']\"'"),
    ],
)
def test_what_is_typed_wrongly_is_answered_with_what_is_meant(typed, hint):
    assert hint in refused(typed).replace("'\"'\"'", "\\'")


def test_settings_of_one_data_set_are_answered_with_one_config():
    message = refused("data.source=photos", "data.target=null")
    assert "type data=image_folder data.source=photos." in message and "type data=image_folder data.target=null." in message


@pytest.mark.parametrize("typed", [['name="1"'], ["data=table", "data.source=rows.csv", "data.target=null", "method=fine_tune"]])
def test_what_is_advised_is_read(typed):
    config = api.compose(typed, folder="run")
    assert (config["name"], config["data"].get("source")) in (("1", None), ("fine_tune", "rows.csv"))


@pytest.mark.parametrize("typed", ["method=dann,dan", "method=[dann,dan]", "optimizer=[adamw]"])
def test_a_run_has_one_config_of_most_groups(typed):
    message = refused(typed)
    assert "has several values, but this is one run. acclimate train -m trains a run for each." in message
    assert "list" not in message


@pytest.mark.parametrize("typed", ["data.source=", "data.target=''", "init_from=", "data.parts=", 'hydra.run.dir=""'])
def test_a_variable_of_the_shell_without_a_value_is_not_the_current_folder(typed):
    words = ["data=image_folder", *(["data.source=photos"] if "source" not in typed else []), typed]
    assert "names nothing. Type" in refused(*words)


def test_a_configuration_without_a_place_is_refused():
    config = api.compose(["data=image_folder", "data.source=photos"], folder="run")
    config["data"]["target"] = ""
    with pytest.raises(ConfigError, match=r"data\.target is empty"):
        api.train(config)


def test_a_folder_may_be_called_as_what_is_missing():
    Path("???").mkdir()
    config = api.compose(["data=image_folder", "data.source=???", "data.target=[???,photos]", "init_from='???'", "hydra.run.dir=???"])
    assert (config["data"]["source"], config["data"]["target"]) == ("./???", ["./???", "photos"])
    assert (config["init_from"], config["folder"]) == ("./???", "./???")


@pytest.mark.parametrize(
    ("words", "typed"),
    [(["--seed", "1"], "seed=1"), (["--seed=2"], "seed=2"), (["seed", "3"], "seed=3"), (["method", "dann"], "method=dann")],
)
def test_settings_in_the_form_of_other_programs_are_answered_with_ours(words, typed, acclimate):
    code, message = acclimate("train", *words)
    assert (code, f"type {typed}." in message.lower()) == (2, True), message


def test_data_of_another_kind_are_answered_with_what_reads_them():
    assert [readers_of(place) for place in ("photos", "arrays.npz", "ROWS.CSV", "notes.txt", "nowhere")] == [
        ["image_folder"],
        ["arrays", "vectors"],
        ["table", "vectors"],
        [],
        [],
    ]
    assert suggest_readers("rows.csv") == " data=table reads tables of images and data=vectors reads rows of numbers."
    for words in (
        ["data=image_folder", "data.source=rows.csv"],
        ["data=arrays", "data.source=photos"],
        ["data=vectors", "data.source=photos"],
    ):
        with pytest.raises(UserError, match=r" data=(table|image_folder) reads "):
            api.train(api.compose([*words, "data.target=null", "method=source_only"], folder="run"))


@pytest.mark.parametrize("words", [[], ["--cfg", "job"], ["-m"], ["-m", "seed=0,1"], ["~logger", "seed=1"]])
def test_flags_and_settings_are_no_mistakes(words):
    refuse_malformed(words)
