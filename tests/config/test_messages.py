"""Settings as messages advise to type them: valid in a shell, and read as what was meant by every verb."""

import shlex
import subprocess

import pytest
from small_runs import SMALL, write_photographs

from acclimate.config.compose import compose, override
from acclimate.config.messages import setting
from acclimate.errors import ConfigError, command

NAMES = [
    "2024",
    "1e3",
    "true",
    "null",
    "cam #2",
    "a=b",
    "with space",
    "(brackets)",
    "[0-9]{2,3}",
    "{curly}",
    "o'brien",
    'say "hi"',
    "a'b\"c",
    "back\\slash",
    "end\\",
    "x\\'y",
    "Käfer",
    "照片",
    "~home",
    "a:b",
    "$10_$20",
    "a & b; c",
    "a,b",
    "*",
]


@pytest.fixture(scope="module")
def saved():
    return compose(["data=image_folder", "data.source=x", "data.target=null"], folder="saved")


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_read_as_it_was_meant(saved, name):
    meant = {"data.classes": [name, "b"], "data.rename": {name: "b", "c": name}, "name": name}
    if name != "null":
        meant |= {"data.parts": f"x/{name}".replace(",", ""), "data.group": name}
    words = [word for key, value in meant.items() for word in shlex.split(setting(key, value))]
    started = compose(["data=image_folder", "data.source=y", *words], folder="saved")
    for config in (started, override(saved, words)):
        # As the data set takes it.
        found = config["data"] | {"name": config["name"], "rename": dict(config["data"]["rename"])}
        assert {key: found[key.removeprefix("data.")] for key in meant} == meant


def test_a_shell_gives_back_the_words_of_a_command():
    folder = "runs of o'brien/$HOME (2) #1 \\ é=*,[a]"
    line = command("train", f"resume={folder}").replace("acclimate", "printf '%s\\n'", 1)
    assert subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout.splitlines() == [
        "train",
        f"resume={folder}",
    ]


@pytest.mark.parametrize(
    ("typed", "advised"),
    [
        ("data.rename={Käfer:käfer}", {"rename": [["Käfer", "käfer"]]}),
        ("data.classes=[Käfer, red fish,cam #2]", {"classes": ["Käfer", "red fish", "cam #2"]}),
        ("data.background=#808080", {"background": "#808080"}),
    ],
)
def test_what_hydra_cannot_read_is_offered_in_a_form_that_it_reads(saved, typed, advised):
    for read in (lambda word: compose(["data=image_folder", "data.source=y", word], folder="x"), lambda word: override(saved, [word])):
        with pytest.raises(ConfigError, match="cannot be read") as caught:
            read(typed)
        (word,) = shlex.split(str(caught.value).rpartition(" type ")[2].removesuffix("."))
        config = read(word)
        assert config["data"] == config["data"] | advised


@pytest.mark.parametrize("typed", ["data.classes=[a,b", "data.rename={a:b"])
def test_brackets_that_are_not_closed_are_no_text(saved, typed):
    with pytest.raises(ConfigError, match="Close all brackets and quotes"):
        override(saved, [typed])


def test_several_values_are_no_list(saved):
    with pytest.raises(ConfigError, match=r"several values, but this is one run\. If they are a list, type 'optimizer\.betas=\["):
        override(saved, ["optimizer.betas=0.9,0.99"])


def test_configs_of_one_s_own_are_found_by_evaluate_and_resume(acclimate, tmp_path):
    mine = tmp_path / "o'brien's (configs) #1"
    (mine / "data").mkdir(parents=True)
    (mine / "data" / "birds.yaml").write_text("defaults:\n  - image_folder\nsource: photos\nnum_workers: 0\n")
    write_photographs(tmp_path / "photos")
    words = ["data=birds", f"data.target={tmp_path / 'photos'}", "data.source_labels_per_class=2"]
    train = ["train", *SMALL, *words, "method=source_only", "trainer.max_steps=2", "hydra.run.dir=my run"]
    assert acclimate(*train, "--config-dir", str(mine)) == (0, "")
    code, message = acclimate("evaluate", "run=my run", *SMALL[:1], *words, "--config-dir", str(mine), "allow_seen=true")
    assert code == 0, message
    code, message = acclimate("train", "resume=my run", "trainer.max_steps=3", f"--config-dir={mine}")
    assert code == 0, message
