"""A path is text in every verb, whatever is in its name."""

import shlex

import pytest
from small_runs import SMALL, write_photographs

from acclimate.config.compose import compose, compose_sweep, override
from acclimate.config.messages import setting
from acclimate.config.overrides import accept_any_key

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
