"""The Python interface: runs from Python, and trained models without Hydra and Lightning."""

import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from small_runs import SMALL, write_test_images

import acclimate
from acclimate import cli
from acclimate.config.check import plain
from acclimate.config.groups import conf_dir
from acclimate.errors import ConfigError, DataError, DivergenceError
from acclimate.inference.predictor import Predictor
from acclimate.runs.checkpoint_files import best_checkpoint
from acclimate.runs.checkpoints import read_checkpoint

ONE_EPOCH = ("method=source_only", "trainer.max_epochs=1")
WITHOUT_HYDRA_AND_LIGHTNING = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("hydra", "omegaconf", "pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities"):
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
import acclimate
assert "torch" not in sys.modules
print(acclimate.load(sys.argv[1]).predict(sys.argv[2:]).probabilities.tolist())
"""


@pytest.fixture(scope="module")
def trained(archives, tmp_path_factory):
    """The configuration of a run that was composed and trained in Python, and its metrics."""
    config = acclimate.compose([*archives, *SMALL, *ONE_EPOCH, "seed=3"], folder=tmp_path_factory.mktemp("api") / "run")
    return config, acclimate.train(config)


@pytest.fixture(scope="module")
def files(archives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_test_images(archives, folder)
    return sorted(folder.iterdir())


def test_a_run_in_python_leaves_what_that_of_the_command_leaves(trained):
    config, metrics = trained
    folder = Path(config["folder"])
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (metrics["seed"], config["name"], json.loads((folder / "run.json").read_text())["name"]) == (3, "source_only", "source_only")


def test_evaluate_finds_the_accuracies_of_the_run_and_takes_overrides(trained, archives):
    config, metrics = trained
    again = acclimate.evaluate(config["folder"])
    assert again["target/test_accuracy"] == metrics["target/test_accuracy"]
    source = next(text for text in archives if text.startswith("data.source=")).partition("=")[2]
    other = acclimate.evaluate(config["folder"], [f"data.target={source}"], allow_seen=True)
    assert other["target/test_accuracy"] == metrics["source/test_accuracy"]


def test_the_command_and_the_predictor_give_the_same_labels_and_probabilities(trained, files, tmp_path):
    model = acclimate.load(trained[0]["folder"])
    labels, probabilities, features = model.predict(files, features=True)
    cli.run_verb("predict", [f"run={trained[0]['folder']}", f"inputs={files[0].parent}", f"out={tmp_path / 'table.csv'}"])
    rows = [line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines()[1:]]
    assert [row[1] for row in rows] == labels
    assert [row[2] for row in rows] == [f"{value:.6f}" for value in probabilities.max(dim=1).values.tolist()]
    assert probabilities.shape == (len(files), len(model.classes))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(len(files)))
    assert features is not None and features.shape[0] == len(files)
    assert model.predict(files).features is None


def test_accuracy_of_predictions_is_that_of_the_run(trained, files, archives):
    labels = acclimate.load(trained[0]["folder"]).predict(files).labels
    with np.load(next(text for text in archives if text.startswith("data.target=")).partition("=")[2]) as target:
        assert np.mean([int(label) for label in labels] == target["y_test"]) == pytest.approx(trained[1]["target/test_accuracy"])


def test_files_arrays_and_images_of_pillow_may_be_mixed(trained, files):
    model = acclimate.load(trained[0]["folder"])
    expected = model.predict(files[:1] * 6).probabilities
    image = Image.open(files[0])
    grey = np.asarray(image)
    rgb = np.stack([grey] * 3, axis=2)
    mixed = model.predict([files[0], str(files[0]), image, grey, grey[:, :, None], rgb])
    assert torch.equal(mixed.probabilities, expected)
    assert image.mode == "L"
    for one in (files[0], str(files[0]), image, grey, rgb, rgb[None], iter([files[0]])):
        torch.testing.assert_close(model.predict(one).probabilities, expected[:1])


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
def test_an_image_that_lies_on_its_side_is_turned_and_the_caller_s_own_stays(trained, tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = 6
    file = tmp_path / f"image.{suffix}"
    Image.fromarray(pixels).save(file, exif=exif)
    model = acclimate.load(trained[0]["folder"])
    with Image.open(file) as image:
        # As Pillow itself turns those of TIFF files.
        image.load()
        size = image.size
        torch.testing.assert_close(model.predict(image).probabilities, model.predict(file).probabilities)
        assert image.size == size


def test_batches_change_nothing(trained, files):
    model = acclimate.load(best_checkpoint(Path(trained[0]["folder"])))
    torch.testing.assert_close(model.predict(files, batch_size=5).probabilities, model.predict(files).probabilities)


BAD_INPUTS = [
    ([], "There are no inputs"),
    (["nowhere.jpg"], "nowhere.jpg is not a whole image"),
    ([np.zeros((4, 4), np.uint8), 3], r"inputs\[1\] is of the type int. Give a path"),
    (np.zeros((4, 4)), r"inputs\[0\] is an array of float64 .*astype\('uint8'\)"),
    (np.zeros((3, 4, 5), np.uint8), r"the shape \(3, 4, 5\)"),
    (np.zeros((0, 4), np.uint8), r"the shape \(0, 4\)"),
    (["."], r"\. is a folder. Give the files in it"),
]


@pytest.mark.parametrize(("inputs", "message"), BAD_INPUTS)
def test_what_is_no_image_is_named(trained, inputs, message):
    with pytest.raises(DataError, match=message):
        acclimate.load(trained[0]["folder"]).predict(inputs)


def test_predictions_that_are_not_finite_are_named(trained):
    checkpoint = read_checkpoint(best_checkpoint(Path(trained[0]["folder"])))
    checkpoint["state_dict"]["classifier.head.bias"][0] = float("nan")
    with pytest.raises(DivergenceError, match=r"inputs\[0\] is not finite"):
        Predictor(checkpoint).predict(np.zeros((16, 16), np.uint8))


def test_a_model_of_somebody_s_own_code_is_built_only_if_it_is_trusted(trained):
    checkpoint = read_checkpoint(best_checkpoint(Path(trained[0]["folder"])))
    checkpoint["config"]["model"]["backbone"]["_target_"] = "small_runs.headless_cnn"
    with pytest.raises(ConfigError, match=r"small_runs\.headless_cnn is not among"):
        Predictor(checkpoint)
    assert Predictor(checkpoint, trust=["small_runs"]).classes == ["0", "1", "2"]


def test_wrong_places_and_devices_are_named(trained, tmp_path):
    for refused in (acclimate.load, acclimate.evaluate):
        with pytest.raises(ConfigError, match="Give the folder of a finished run"):
            refused(tmp_path)
    with pytest.raises(ConfigError, match="device=nothing cannot be used"):
        acclimate.load(trained[0]["folder"], device="nothing")
    with pytest.raises(ConfigError, match="batch_size=0 must be"):
        acclimate.load(trained[0]["folder"]).predict(np.zeros((16, 16), np.uint8), batch_size=0)


def test_a_trained_model_needs_neither_hydra_nor_lightning(trained, files):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HYDRA_AND_LIGHTNING, trained[0]["folder"], *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(torch.tensor(json.loads(done.stdout)), acclimate.load(trained[0]["folder"]).predict(files).probabilities)


def test_import_is_fast():
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import acclimate, sys; assert 'numpy' not in sys.modules"], check=True)
    assert time.perf_counter() - started < 0.5


def test_folders_of_composed_runs_are_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (acclimate.compose(["method=mcd"])["folder"] for _ in range(2))
    assert first != second
    assert all(Path(folder).parts[0] == "outputs" and "-mcd" in folder for folder in (first, second))
    for words, options in ((["folder=a,b"], {}), (["hydra.run.dir=a,b"], {}), ([], {"folder": "a,b"})):
        config = acclimate.compose(words, **options)
        assert config["folder"] == "a,b"
        assert config["callbacks"]["checkpoint"]["dirpath"].startswith("a,b/")
    assert not Path("a,b").exists()


def test_configs_of_one_s_own_are_found(tmp_path):
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_text("_target_: acclimate.methods.dann.Dann\nbatch_norm: joint\n")
    config = acclimate.compose(["method=mine"], folder=tmp_path / "run", config_dir=tmp_path)
    assert (config["name"], config["method"]["batch_norm"]) == ("mine", "joint")


@pytest.mark.parametrize("word", ["method=dan n", "method=dannn", "seed", "-m", "seed=0,1"])
def test_overrides_that_cannot_be_composed_are_a_user_s_mistake(word, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(word.split(" ")[0])):
        acclimate.compose([word], folder=tmp_path)


def test_a_wrong_value_is_refused_before_training(tmp_path):
    config = acclimate.compose(["method=dann"], folder=tmp_path / "run")
    with pytest.raises(ConfigError, match=r"trainer\.max_epoch"):
        acclimate.train(config | {"trainer": config["trainer"] | {"max_epoch": 3}})


@pytest.mark.parametrize("overrides", ["method=dann", {"method": "dann"}, [None], [Path("photos")]])
def test_overrides_that_are_no_list_of_texts_are_named(overrides):
    with pytest.raises(ConfigError, match=r"is not a list of overrides\. Give texts, such as \['method=dann'"):
        acclimate.compose(overrides)


def test_a_folder_of_configs_that_is_none_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        acclimate.compose(["method=dann"], folder=tmp_path, config_dir=tmp_path / "nowhere")


@pytest.mark.parametrize("config", [None, ["method=dann"]])
def test_what_is_no_configuration_is_named(config):
    with pytest.raises(ConfigError, match=r"Pass one from acclimate\.compose"):
        acclimate.train(config)


def test_a_configuration_of_python_may_have_paths_tuples_and_numbers_of_numpy(archives, tmp_path):
    config = acclimate.compose([*archives, *SMALL, *ONE_EPOCH], folder=tmp_path)
    changed = {**config, "folder": tmp_path, "seed": np.int64(0), "optimizer": {**config["optimizer"], "betas": (0.9, np.float64(0.999))}}
    changed["data"] = {**config["data"], "source": Path(config["data"]["source"])}
    assert plain(changed) == config
    changed["optimizer"]["lr"] = "fast"
    with pytest.raises(ConfigError, match=r"The configuration has a problem:\n.*lr=fast is text"):
        acclimate.train(changed)


def test_configurations_are_composed_in_threads_and_in_a_program_that_uses_hydra(tmp_path):
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        with ThreadPoolExecutor(4) as threads:
            seeds = list(threads.map(lambda seed: acclimate.compose([f"seed={seed}"], folder=tmp_path)["seed"], range(8)))
        assert GlobalHydra.instance().hydra is outer
    assert seeds == [*range(8)]


def test_a_predictor_says_what_it_predicts(trained):
    model = acclimate.load(trained[0]["folder"], trust="my_module", device="cpu")
    assert repr(model) == "Predictor(3 classes of images: 0, 1, 2; on cpu)"
    with pytest.raises(DataError, match=r"The inputs are of the type NoneType\. Give a path"):
        model.predict(None)
    with pytest.raises(ConfigError, match=r"batch_size=2\.5 must be a whole number"):
        model.predict(np.zeros((16, 16), dtype=np.uint8), batch_size=2.5)
