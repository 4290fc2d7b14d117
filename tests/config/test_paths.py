"""A path is text in every verb, whatever is in its name."""

import shlex
from pathlib import Path

import pytest
from small_runs import SMALL, write_photographs

from acclimate.config.compose import compose, compose_sweep, override
from acclimate.config.messages import setting
from acclimate.config.overrides import accept_any_key
from acclimate.errors import ConfigError

NAMES = [
    "2024",
    "1e3",
    "true",
    "None",
    "cam #2",
    "a=b",
    "with space",
    "(brackets)",
    "[square]",
    "{curly}",
    "o'brien",
    'say "hi"',
    "back\\slash",
    "Käfer",
    "照片",
    "~home",
    "a:b",
    "100%",
    "$10_$20",
    "a & b; c",
    "${x}",
    "$HOME",
    "a ${oc.env:HOME} b",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("exists", [False, True])
def test_a_path_is_the_text_that_was_typed(tmp_path, monkeypatch, name, exists):
    monkeypatch.chdir(tmp_path)
    if name == "[square]" and not exists:
        pytest.skip("it could be a list")
    if exists:
        (tmp_path / name).mkdir()
    config = compose(["data=image_folder", f"data.source={name}", f"data.target=x/{name}"])
    assert config["data"]["source"] == name
    assert config["data"]["target"] == f"x/{name}"
    changed = override(config, [f"data.source=y/{name}", f"data.target={name}"])
    assert changed["data"]["source"] == f"y/{name}"
    assert changed["data"]["target"] == name
    again = override(config, ["data=image_folder", f"data.source={name}"])
    assert again["data"]["source"] == name


def test_a_list_of_paths_is_the_texts_that_were_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    typed = ",".join(name if name not in ("[square]", 'say "hi"') else f"'{name}'" for name in NAMES)
    config = compose(["data=image_folder", f"data.source=[{typed}]", f"data.target=[ x/{', x/'.join(NAMES)} ]"])
    assert config["data"]["source"] == NAMES
    assert config["data"]["target"] == [f"x/{name}" for name in NAMES]
    assert override(config, [f"data.target=[{typed}]"])["data"]["target"] == NAMES
    # As messages advise to type it.
    (advised,) = shlex.split(setting("data.source", [*NAMES, "a, b", "c\\"]))
    assert compose(["data=image_folder", advised])["data"]["source"] == [*NAMES, "a, b", "c\\"]


def test_lists_of_paths_can_be_swept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configs = compose_sweep(["data=image_folder", "data.source=[a,b],[c,d]", "data.target=[x,y]"]).values()
    assert [config["data"]["source"] for config in configs] == [["a", "b"], ["c", "d"]]
    (tmp_path / "[a,b]").mkdir()
    assert compose(["data=image_folder", "data.source=[a,b]"])["data"]["source"] == "[a,b]"


def test_a_name_with_a_comma_is_one_folder_if_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(compose_sweep(["data=image_folder", "data.source=a,b"])) == 2
    (tmp_path / "a,b").mkdir()
    (config,) = compose_sweep(["data=image_folder", "data.source=a,b"]).values()
    assert config["data"]["source"] == "a,b"


def test_the_folder_of_a_run_may_have_a_comma():
    assert accept_any_key(["hydra.run.dir=a,b/run"]) == ["hydra.run.dir='a,b/run'"]
    assert accept_any_key(["hydra.sweep.dir=[a]"]) == ["hydra.sweep.dir='[a]'"]


def test_a_file_of_weights_may_have_commas(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["model=resnet18", "model.weights=a,${b}.pt"]
    assert len(compose_sweep(words)) == 2
    Path("a,${b}.pt").touch()
    assert compose(words)["model"]["weights"] == "a,${b}.pt"
    assert override(compose(["model=resnet18"]), words[1:])["model"]["weights"] == "a,${b}.pt"
    # These are no files, even if there are files of these names.
    for name, value in (("true", True), ("null", None)):
        Path(name).touch()
        assert compose(["model=resnet18", f"model.weights={name}"])["model"]["weights"] is value


@pytest.mark.parametrize("key", ["data.classes", "data.columns"])
def test_names_of_classes_and_columns_are_no_interpolations(key):
    names = ["${x}", "b ${oc.env:HOME}", "c"]
    name = key.rpartition(".")[2]
    for word in (f"{key}=[${{x}},'b ${{oc.env:HOME}}',c]", *shlex.split(setting(key, names))):
        config = compose(["data=table", "data.source=x", "data.path=x", "data.label=${y}", word])
        assert (config["data"][name], config["data"]["label"]) == (names, "${y}")
        assert override(config, [word])["data"][name] == names
        assert override(config, ["data=table", "data.source=x", "data.path=x", "data.label=y", word])["data"][name] == names


def test_a_renaming_that_messages_advise_is_no_interpolation():
    (word,) = shlex.split(setting("data.rename", {"${x}": "a", "b": "${oc.env:HOME}"}))
    expected = [["${x}", "a"], ["b", "${oc.env:HOME}"]]
    assert compose(["data=image_folder", "data.source=x", word])["data"]["rename"] == expected


def test_text_in_any_key_is_escaped_as_the_message_says():
    with pytest.raises(ConfigError, match=r"name=.*cannot be read") as raised:
        compose(["name=${x} y"])
    (word,) = shlex.split(str(raised.value).partition("type ")[2].removesuffix("."))
    assert compose([word])["name"] == "${x} y"


def test_folders_of_runs_in_python_may_have_any_name(tmp_path):
    config = compose(["data=image_folder", "data.source=x"], folder=tmp_path / "${x}")
    assert config["folder"] == str(tmp_path / "${x}")
    again = override(config, ["callbacks=default"])
    assert again["callbacks"]["checkpoint"]["dirpath"] == str(tmp_path / "${x}" / "checkpoints")


def test_hydra_s_folders_cannot_look_like_interpolations(acclimate, tmp_path, monkeypatch):
    code, message = acclimate("train", "hydra.run.dir=${x}")
    assert (code, "Hydra cannot use folders with ${ in their names" in message) == (2, True)
    (tmp_path / "${x}").mkdir()
    monkeypatch.chdir(tmp_path / "${x}")
    code, message = acclimate("train", "trainer=smoke")
    assert (code, "Change to another one" in message) == (2, True)


def test_names_that_look_like_interpolations_are_evaluated_and_predicted(tmp_path, acclimate):
    write_photographs(tmp_path / "${x}")
    small = [*SMALL, "data.num_workers=0", "trainer.max_steps=1", "method=source_only", "data.rename=[[ant,'${oc.env:HOME}']]"]
    assert acclimate("train", "data=image_folder", "data.source=${x}", "data.target=null", *small, "hydra.run.dir=run") == (0, "")
    assert acclimate("evaluate", "run=run", "data.source=${x}", "allow_seen=true")[0] == 0
    assert acclimate("predict", "run=run", "inputs=${x}", "out=${out}.csv") == (0, "")
    assert acclimate("train", "resume=run", "trainer.max_steps=2") == (0, "")


def test_null_is_no_path():
    config = compose(["data=image_folder", "data.source=x", "data.target=null"])
    assert config["data"]["target"] is None
    assert override(config | {"data": {**config["data"], "target": "y"}}, ["data.target=null"])["data"]["target"] is None


def test_a_folder_that_is_not_there_is_named_and_no_other_is_tested(tmp_path, acclimate):
    write_photographs(tmp_path / "cam")
    small = [*SMALL, "data.num_workers=0", "trainer.max_epochs=1", "method=source_only"]
    assert acclimate("train", "data=image_folder", "data.source=cam", "data.target=cam", *small, "hydra.run.dir=run #1") == (0, "")
    code, message = acclimate("evaluate", "run=run #1", "data.target=cam #2", "allow_seen=true")
    assert code == 2 and "cam #2 is not a folder" in message
