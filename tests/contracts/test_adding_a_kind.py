"""A kind of input of one's own, the texts of docs/extending.md, goes through training and every verb without a change of the package."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import SMALL_OF_ANY_KIND, differences, trained_state

import acclimate as package

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
# Words that tell each class in both domains, in the source only, and in the target only.
WORDS = {
    "film": ("scene actor plot", "cinema premiere ticket", "stream series binge"),
    "food": ("taste salt dish", "oven recipe kitchen", "delivery app rider"),
    "trip": ("train beach map", "postcard stamp agency", "booking host rating"),
}


def write_texts(path, *, domain, number, seed):
    """Write texts of four words each, two that both domains have and two of this domain's own."""
    random = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label"])
        for row in range(number):
            label = sorted(WORDS)[row % len(WORDS)]
            shared, own = WORDS[label][0].split(), WORDS[label][domain].split()
            words = [*random.choice(shared, 2), *random.choice(own, 2), str(row)]
            table.writerow([" ".join(random.permutation(words)), label])


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The folder with the code and the configs that the page shows, and with texts of two domains."""
    folder = tmp_path_factory.mktemp("kind")
    for name, body in re.findall(r"^```(?:python|yaml)\n# (mine/\S+)\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)
    write_texts(folder / "source.csv", domain=1, number=45, seed=0)
    write_texts(folder / "target.csv", domain=2, number=36, seed=1)
    sys.path.insert(0, str(folder / "mine"))
    yield folder
    sys.path.remove(str(folder / "mine"))
    sys.modules.pop("texts", None)


@pytest.fixture
def words(mine):
    """The words of a small training on texts."""
    data = ["data=texts", f"data.source={mine / 'source.csv'}", f"data.target={mine / 'target.csv'}"]
    small = [f"+{word}" if word.startswith("data.") else word for word in SMALL_OF_ANY_KIND]
    return ["--config-dir", str(mine / "mine"), *data, *small, "trainer.max_epochs=2"]


@pytest.fixture
def train(acclimate, words, tmp_path):
    """Train with more words in a folder, and return it."""

    def call(name, *more):
        code, message = acclimate("train", *words, f"hydra.run.dir={tmp_path / name}", *more)
        assert code == 0, message
        return tmp_path / name

    return call


def advice(result):
    """Return the argument that a refused command says to add."""
    code, message = result
    assert code == 2
    return re.search(r"add '(trust=\S+\])'", message)[1]


@pytest.mark.parametrize("method", ["source_only", "dann", "dann_mcc_fixmatch", "simclr"])
def test_methods_train(train, method):
    metrics = json.loads((train("run", f"method={method}", "+data.target_views=[strong]") / "metrics.json").read_text())
    assert metrics["train/steps"] > 0


def test_shot_starts_from_a_trusted_run_without_its_source(train):
    first = train("first", "method=source_only")
    second = train("second", "method=shot", f"init_from={first}", "data.source=null")
    assert "target/test_accuracy" in json.loads((second / "metrics.json").read_text())


def test_a_stop_changes_nothing(train, acclimate, words, tmp_path):
    options = ("method=dann_mcc_fixmatch", "+data.target_views=[strong]", "model.dropout=0.3")
    whole = trained_state(train("whole", *options))
    stop = ("+callbacks.stop._target_=small_runs.StopAt", "+callbacks.stop.hook=on_train_batch_end", "+callbacks.stop.batches=9")
    stopped = tmp_path / "stopped"
    assert acclimate("train", *words, *options, *stop, f"hydra.run.dir={stopped}")[0] != 0
    code, message = acclimate("train", f"resume={stopped}", advice(acclimate("train", f"resume={stopped}")))
    assert code == 0, message
    assert differences(whole, trained_state(stopped)) == []


def test_every_use_of_a_trained_model(train, mine, acclimate, tmp_path):
    run = train("run", "method=dann", "logger=none")
    predict = ["predict", f"run={run}", f"inputs={mine / 'target.csv'}", "out=labels.csv"]
    code, message = acclimate(*predict, advice(acclimate(*predict)))
    assert code == 0, message
    with open("labels.csv") as file:
        found = [row["label"] for row in csv.DictReader(file)]
    with (mine / "target.csv").open() as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    predictions = package.load(run, trust=["texts"]).predict(texts, features=True)
    assert predictions.labels == found
    assert predictions.features is not None
    evaluate = ["evaluate", f"run={run}", "out=again.json"]
    code, message = acclimate(*evaluate, advice(acclimate(*evaluate)))
    assert code == 0, message
    metrics = json.loads((run / "metrics.json").read_text())
    assert json.loads(Path("again.json").read_text())["target/test_accuracy"] == metrics["target/test_accuracy"]


def test_features_of_a_frozen_backbone_are_kept(train):
    first = train("first", "method=source_only")
    options = ("method=dann", f"init_from={first}", "model.freeze=backbone", "+data.fixed_views=2", "+data.target_views=[strong]")
    for seed in (1, 2):
        log = (train(f"frozen{seed}", *options, f"seed={seed}") / "train.log").read_text()
        assert ("Computing once" in log) == (seed == 1)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("method=rotation", "needs images, but the data contains texts"),
        ("method.cutmix=1", "needs images, but the data contains texts"),
        ("method.mixup=0.4", "cannot be mixed"),
        ("+data.target_views=[crop]", "Texts have no view crop"),
        ("model=small_cnn", "small_cnn does not accept texts. Use a model for texts: model=NAME."),
    ],
)
def test_what_texts_cannot_do_is_refused_before_training(acclimate, words, tmp_path, option, message):
    words = [word for word in words if option != "model=small_cnn" or not word.startswith("model.")]
    code, found = acclimate("train", *words, option, "hydra.run.dir=run")
    assert (code, message in found) == (2, True), found
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_model_for_texts_refuses_others(acclimate, words, archives):
    code, message = acclimate("train", *words[:2], *archives, "model=bag_of_words", "hydra.run.dir=run")
    assert (code, "bag_of_words does not accept images. Use model=small_cnn." in message) == (2, True), message


def test_rank_and_chain_take_configs_of_one_s_own(acclimate, words):
    data = [word for word in words if word.startswith(("--config-dir", "data=", "data.")) or "/mine" in word]
    assert acclimate("rank", *data, "model=bag_of_words", "data.target=null") == (0, "")
    code, message = acclimate("chain", *words, "first.method=simclr", "second.method=dann", "hydra.run.dir=chain")
    assert code == 0, message
    assert Path("chain", "second", "metrics.json").is_file()
    code, message = acclimate("rank", "--config-dir", "nowhere", "model=bag_of_words")
    assert (code, "--config-dir nowhere is not a folder" in message) == (2, True)


def test_data_vouch_only_for_the_kind_that_they_declare(train, acclimate, words, tmp_path):
    """Not for everything else in their module, which a checkpoint from a stranger could name."""
    first = train("first", "method=source_only")
    checkpoint = torch.load(first / "checkpoints" / "best.ckpt", weights_only=True)
    checkpoint["inputs"] = {"_target_": "texts.rows_of", "path": "target.csv"}
    torch.save(checkpoint, tmp_path / "strange.ckpt")
    code, message = acclimate("train", *words, "init_from=strange.ckpt", "hydra.run.dir=second")
    assert (code, "inputs._target_=texts.rows_of is not among what acclimate builds from a file" in message) == (2, True)
