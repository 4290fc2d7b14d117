"""Configurations of strangers: nothing of them is imported, run or written."""

import copy

import pytest
from small_runs import with_value

from acclimate.config.untrusted import refuse_strangers
from acclimate.errors import ConfigError

PLAIN = {
    "data": {"_target_": "acclimate.data.images.arrays.Arrays", "source": "a.npz", "batch_size": 4},
    "model": {
        "_target_": "acclimate.models.classifier.Classifier",
        "backbone": {"_target_": "acclimate.models.backbones.small_cnn.small_cnn", "_partial_": True},
    },
    "trainer": {"_target_": "pytorch_lightning.Trainer", "max_epochs": 1},
    "callbacks": {"mine": None},
    "seed": 2**32 - 1,
    "folder": "outputs/run",
}


def test_what_a_run_saves_is_accepted_as_it_is():
    config = copy.deepcopy(PLAIN)
    assert refuse_strangers(config, "file") == PLAIN


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("data._target_", "os.system", r"data._target_=os.system is not among"),
        ("data._target_", "acclimate.models.classifier.Classifier", "is not among"),
        ("data._target_", "acclimate.data.images.arrays.np.load", "is not among"),
        ("data._target_", ["os.system"], "_target_=list is not among"),
        ("model.backbone._target_", "torch.load", "model.backbone._target_=torch.load"),
        ("model.layers", [[{"_target_": "os.system"}]], r"model.layers\[0\]\[0\]._target_=os.system"),
        ("seed", {"_target_": "os.system"}, "seed._target_"),
        ("hydra", {"callbacks": {"x": {"_target_": "os.system"}}}, "hydra.callbacks.x._target_"),
        ("data._args_", ["a.npz"], "data._args_ is a setting that is not allowed in files"),
        ("data._convert_", "none", "_convert_"),
        ("data._partial_", {"_target_": "os.system"}, "_partial_"),
        ("trainer.plugins", ["x"], "trainer.plugins is a setting that is not allowed in files"),
        ("trainer.profiler", "simple", "trainer.profiler"),
        ("data.source", "${oc.env:HOME}", "interpolations are not allowed in files"),
        ("data.source", "a\0b", "is not a plain value"),
        ("data.source", "???", "is not a plain value"),
        ("data.source", b"a", "is of the type bytes"),
        ("data.batch_size", 10**12, "data.batch_size is a number above 65536"),
        ("data.something", 10**400, "is a number above"),
        ("callbacks.checkpoint.filename", "../../x", "only a name is allowed"),
        ("logger.version", "..", "only a name is allowed"),
    ],
)
def test_what_no_run_saves_is_refused_with_its_place(path, value, message):
    with pytest.raises(ConfigError, match=message):
        refuse_strangers(with_value(PLAIN, path, value), "file")


def test_a_module_or_a_full_name_is_vouched_for():
    config = with_value(PLAIN, "callbacks.mine", {"_target_": "mine.stop.Stop", "_args_": [{"_target_": "mine.Inner"}]})
    for trust in (["mine"], ["mine.stop.Stop", "mine.Inner"]):
        assert refuse_strangers(config, "file", trust) is config
    for trust in ([], ["min"], ["mine.stop"], ["mine.stop.Stopping", "mine.Inner"]):
        with pytest.raises(ConfigError, match=r"add 'trust=\[.*mine"):
            refuse_strangers(config, "file", trust)


def test_what_is_beyond_measure_is_refused_at_once():
    endless: list[object] = []
    endless.append(endless)
    laughs: list[object] = []
    for _ in range(19):
        laughs = [laughs, laughs]
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    for value in (10**5000, endless, laughs, deep, list(range(10**5))):
        with pytest.raises(ConfigError, match=r"is a number above|nested too deeply|more than 20000 values"):
            refuse_strangers(with_value(PLAIN, "data.something", value), "file")


@pytest.mark.parametrize("config", [None, 3, "text", ["list"]])
def test_what_is_no_configuration_is_refused(config):
    with pytest.raises(ConfigError, match="contains no configuration"):
        refuse_strangers(config, "file")


def test_the_advice_repeats_what_is_already_trusted():
    """A second trust= replaces the first."""
    config = {"model": {"_target_": "second.Net"}, "optimizer": {"_target_": "torch.optim.SGD"}}
    with pytest.raises(ConfigError, match=r"add 'trust=\[first,second.Net\]'\."):
        refuse_strangers(config, "the file", trust=["first", "torch.optim.SGD"])
