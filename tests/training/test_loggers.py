"""Curves as TensorBoard shows them, of runs that were stopped, killed and continued, and the same as a table."""

import csv
import io
import json
import logging
import math
import time
from typing import ClassVar
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from PIL import Image
from pytorch_lightning.loggers.logger import DummyLogger
from small_runs import compose, train_and_stop
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

from acclimate.config.compose import override
from acclimate.errors import Interrupted
from acclimate.training import assembly, run, tensorboard_summaries
from acclimate.training.callbacks.last_checkpoint import LastCheckpoint
from acclimate.training.callbacks.pictures import Pictures
from acclimate.training.dashboard import describe
from acclimate.training.loggers import TensorBoard

# Epochs of 5 batches; validations after 4, 8 and 12, and after the last one.
LOGGED = (
    "method=dann",
    "trainer.max_steps=14",
    "trainer.check_val_every_n_epoch=null",
    "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=2",
    "callbacks.pictures={_target_:acclimate.training.callbacks.pictures.Pictures,folder:${folder}}",
)
PICTURES = {
    *("samples", "projection/pca", "class_shares", "predictions/target", "confusion/source", "confusion/target"),
}
TIMES = ("train/seconds", "train/samples_per_second")


def composed(folder, archives, logger):
    # Pictures are for TensorBoard.
    options = LOGGED if "tensorboard" in logger else LOGGED[:-1]
    return override(compose(folder, *archives, *options), [f"logger={logger}"])


def train_with_stops(config, *stops):
    for hook, batches in stops:
        with pytest.raises(Interrupted):
            train_and_stop(config, hook=hook, batches=batches)
        config["resume"] = True
    return run.train(config)


def train_with_power_failure(config, batches):
    failure = {"_target_": "small_runs.PowerFailure", "batches": batches}
    with pytest.MonkeyPatch.context() as monkeypatch, pytest.raises(RuntimeError, match="power"):
        # A checkpoint after each validation.
        monkeypatch.setattr(LastCheckpoint, "SECONDS", 0)
        monkeypatch.setattr(LastCheckpoint, "PAUSE", 0)
        run.train({**config, "callbacks": {**config["callbacks"], "failure": failure}})


@pytest.fixture(scope="module")
def runs(archives, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorboard")
    whole, stopped, killed = (composed(folder / name, archives, "tensorboard") for name in ("whole", "stopped", "killed"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        # The same pictures on slow machines.
        monkeypatch.setattr(Pictures, "SECONDS", math.inf)
        run.train(whole)
        train_with_stops(stopped, ("on_train_batch_start", 5), ("on_validation_start", 12))
        train_with_power_failure(killed, 11)
        run.train({**killed, "resume": True})
    plain, described = (TensorBoard(folder, name="earlier", version="") for _ in range(2))
    for step in (1, 3):
        plain.write(tensorboard_summaries.scalar("loss/total", 1.0), step)
    plain.close()
    for step in (3, 5):
        described.log_metrics({"loss/total": 2.0}, step)
    described.close()
    return folder


@pytest.fixture(scope="module")
def board(runs):
    """TensorBoard as it starts with no options: a function that asks it."""
    from tensorboard import program

    def ask(path, **query):
        with urlopen(f"{url}data/plugin/{path}?{urlencode(query)}") as answer:
            return json.load(answer)

    board = program.TensorBoard()
    board.configure(argv=["tensorboard", "--logdir", str(runs), "--host", "127.0.0.1", "--port", "0"])
    # The fast loader where it is installed, and it is.
    assert board.flags.load_fast == "auto"
    url = board.launch()
    deadline = time.monotonic() + 30
    while sum("final/seed" in tags for tags in ask("scalars/tags").values()) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    return ask


@pytest.fixture(scope="module")
def served(board):
    """The curves that TensorBoard serves: steps and values by runs and tags."""
    curves = {}
    for name, tags in board("scalars/tags").items():
        curves[name] = {tag: [(step, value) for _, step, value in board("scalars/scalars", run=name, tag=tag)] for tag in tags}
    return curves


def test_each_start_of_a_run_writes_one_event_file(runs):
    number = {name: len(list((runs / name).glob("events.out.tfevents*"))) for name in ("whole", "stopped", "killed")}
    assert number == {"whole": 1, "stopped": 3, "killed": 2}


def test_event_files_sort_in_the_order_of_the_starts(runs):
    """Their names end with a number, of which 10 sorts before 9, so that they must differ in the second before it."""
    seconds = [name.name.split(".")[3] for name in (runs / "stopped").glob("events.out.tfevents*")]
    assert len({*seconds}) == 3


def test_curves_have_a_value_for_each_step_that_is_logged_and_none_at_the_end(served):
    steps = {tag: [step for step, _ in curve] for tag, curve in served["whole"].items()}
    assert steps["loss/total"] == steps["learning_rate/head"] == [1, 3, 5, 7, 9, 11, 13]
    assert steps["source/val_accuracy"] == steps["selection/value"] == steps["score/bnm"] == [3, 7, 11, 13]
    assert {tag for tag, places in steps.items() if 0 in places} == set()


def test_results_of_the_selected_checkpoint_are_apart_from_the_curves(runs, served):
    metrics = json.loads((runs / "whole" / "metrics.json").read_text())
    final = {tag.removeprefix("final/"): curve for tag, curve in served["whole"].items() if tag.startswith("final/")}
    expected = {name: value for name, value in metrics.items() if not isinstance(value, str)}
    assert {name: curve[0][1] for name, curve in final.items()} == pytest.approx(expected)
    assert {step for curve in final.values() for step, _ in curve} == {14}
    assert "target/test_accuracy" not in served["whole"]


@pytest.mark.parametrize("name", ["stopped", "killed"])
def test_curves_of_a_continued_run_are_those_of_the_run_that_was_never_stopped(served, name):
    assert without_times(served[name]) == without_times(served["whole"])


@pytest.mark.parametrize("name", ["whole", "stopped", "killed"])
def test_no_step_occurs_twice_in_the_other_loader(runs, name, served):
    events = EventAccumulator(str(runs / name), size_guidance={"scalars": 0, "images": 0}, purge_orphaned_data=True).Reload()
    for tag in events.Tags()["scalars"]:
        assert [event.step for event in events.Scalars(tag)] == [step for step, _ in served[name][tag]], tag
    assert set(events.Tags()["images"]) == PICTURES


@pytest.fixture(scope="module")
def events(runs):
    return EventAccumulator(str(runs / "whole")).Reload()


def test_every_curve_and_picture_has_a_description(events):
    names = [*events.Tags()["scalars"], *events.Tags()["images"]]
    assert len(names) > 50
    descriptions = {name: events.SummaryMetadata(name).summary_description for name in names}
    assert [name for name, text in descriptions.items() if not text.endswith(".")] == []
    assert "aim is 0.5" in descriptions["adaptation/domain_accuracy"]
    assert "Higher is better" in descriptions["selection/value"]


def test_tensorboard_shows_the_description_of_every_curve_also_of_a_continued_run(board):
    found = board("scalars/tags")
    for name in ("whole", "stopped", "killed"):
        assert len(found[name]) > 40
        assert [tag for tag, metadata in found[name].items() if not metadata["description"]] == []
    assert "aim is 0.5" in found["whole"]["adaptation/domain_accuracy"]["description"]


def test_a_run_of_an_earlier_version_without_descriptions_goes_on(served):
    assert served["earlier"] == {"loss/total": [(1, 1.0), (3, 2.0), (5, 2.0)]}


def test_the_page_of_the_story_shows_the_curves_that_there_are(events):
    layout = Layout.FromString(events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    charts = {section.title: [chart.multiline.tag for chart in section.chart] for section in layout.category}
    first = "1. Is it learning? (all charts: x axis = steps, flat lines = ends of the y axis, pale = as measured, bold = smoothed)"
    assert list(charts) == [first, "2. Is it adapting?", "3. Can it be trusted?"]
    found = {tag.strip("^$") for section in charts.values() for tags in section for tag in tags}
    assert all(set(events.Tags()["scalars"]) & {tag.strip("^$") for tag in tags} for section in charts.values() for tags in section)
    assert "target/val_oracle_accuracy" not in found
    adaptation = ("source_domain_accuracy", "target_domain_accuracy", "reversal", "proxy_a_distance", "mmd", "gradient_ratio")
    assert found >= {f"adaptation/{name}" for name in adaptation}
    assert found >= {"predictions/target_class_entropy", "predictions/target_confidence", "selection/value"}
    aim = events.Scalars("adaptation/domain_accuracy_aim")
    assert [(event.step, event.value) for event in aim] == [(step, 0.5) for step in (1, 3, 5, 7, 9, 11, 13)]


def test_axes_show_the_whole_range_of_their_curves(events):
    """TensorBoard's axes leave out the twentieth of a chart's values at either end, so lines at the ends need as many as the curves."""
    layout = Layout.FromString(events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    there = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    for chart in (chart for section in layout.category for chart in section.chart):
        shown = {tag: there[tag] for text in chart.multiline.tag if (tag := text.strip("^$")) in there}
        assert len({tuple(event.step for event in values) for values in shown.values()}) == 1, chart.title
        ends = {name: {event.value for event in values} for name, values in shown.items() if name.startswith("range/")}
        assert ends == {name: {float(name[-1])} for name in ends}
        assert ends or "Selection score" in chart.title


def test_a_training_of_seconds_has_pictures_at_the_start_and_at_the_end(events):
    steps = {name: [event.step for event in events.Images(name)] for name in ("samples", "projection/pca", "class_shares")}
    assert steps == {"samples": [0], "projection/pca": [0, 14], "class_shares": [14]}


def test_a_continued_run_logs_its_samples_once(runs):
    files = (runs / "stopped").glob("events.out.tfevents*")
    logged = [EventAccumulator(str(file)).Reload().Tags()["images"].count("samples") for file in sorted(files)]
    assert logged == [1, 0, 0]


def test_the_result_of_a_curve_has_its_description():
    assert describe("final/score/bnm") == f"A result of the selected checkpoint, as in metrics.json. {describe('score/bnm')}"
    assert describe("final/of_my_own") == "A result of the selected checkpoint, as in metrics.json."
    assert describe("of_my_own") == ""


def hyperparameters(folder):
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    contents = EventAccumulator(str(folder)).Reload().PluginTagToContent("hparams")
    found = {tag: HParamsPluginData.FromString(text) for tag, text in contents.items()}
    started, experiment = found["_hparams_/session_start_info"].session_start_info, found["_hparams_/experiment"].experiment
    settings = {name: value.string_value or value.number_value for name, value in started.hparams.items()}
    assert {info.name for info in experiment.hparam_infos} == settings.keys()
    return settings, [info.name.tag for info in experiment.metric_infos]


def test_hyperparameters_are_the_method_and_what_was_typed_beside_the_most_important_results(runs):
    settings, metrics = hyperparameters(runs / "whole")
    assert settings == {"method": "dann"}
    assert metrics[:3] == ["final/target/test_accuracy", "final/selection/value", "final/source/test_accuracy"]
    assert all(name.startswith("final/") for name in metrics)
    assert len(metrics) <= 6


def test_hyperparameters_of_a_sweep_are_the_method_and_what_varies(archives, tmp_path):
    """Whatever is typed for all of its jobs is left out."""
    config = composed(tmp_path / "job", archives, "tensorboard")
    typed = ["method=dann", "++optimizer.lr=1e-3", "++trainer.max_steps=14", "++seed=0"]
    (tmp_path / "job" / ".hydra").mkdir(parents=True)
    (tmp_path / "job" / ".hydra" / "overrides.yaml").write_text(json.dumps(typed))
    swept = ["method=source_only,dann", "++optimizer.lr=1e-3,1e-2", "++trainer.max_steps=14", "++seed=0"]
    (tmp_path / "multirun.yaml").write_text(json.dumps({"hydra": {"overrides": {"task": swept}}}))
    run.train({**config, "name": "dann", "callbacks": {**config["callbacks"], "pictures": None}})
    assert hyperparameters(tmp_path / "job")[0] == {"method": "dann", "optimizer.lr": 0.001}


def test_texts_are_the_answers_the_configuration_the_data_and_the_warnings(events):
    names = ("answers", "configuration", "curves", "data", "warnings")
    texts = {name: events.Tensors(name)[-1].tensor_proto.string_val[0].decode() for name in names}
    assert "      max_steps: 14" in texts["configuration"].splitlines()
    assert texts["data"].splitlines()[1].split() == ["class", "train", "val", "test", "train", "val", "test"]
    assert "- **adaptation/domain_accuracy**: Accuracy of the domain discriminator" in texts["curves"]
    assert [line.partition("?")[0] for line in texts["answers"].splitlines()][:3] == [
        "- Is it learning",
        "- Is it adapting",
        "- Can it be trusted",
    ]
    assert texts["warnings"] == "None." or texts["warnings"].startswith("- ")


def test_table_of_a_continued_run_is_that_of_the_run_that_was_never_stopped(archives, tmp_path):
    whole, continued = (composed(tmp_path / name, archives, "csv") for name in ("whole", "continued"))
    run.train(whole)
    train_with_power_failure(continued, 11)
    train_with_stops({**continued, "resume": True}, ("on_train_batch_end", 12))
    rows, others = (read_table(tmp_path / name / "metrics.csv") for name in ("whole", "continued"))
    assert [row["step"] for row in rows if row.get("selection/value")] == ["3", "7", "11", "13"]
    assert [row["step"] for row in rows if row.get("final/target/test_accuracy")] == ["14"]
    assert others == rows


class Album(DummyLogger):
    """A logger that keeps pictures."""

    pictures: ClassVar[list] = []

    def log_picture(self, name, png, size, step):
        self.pictures.append((name, png, size, step))


class Dropped(Album):
    """A logger whose service cannot be reached."""

    def log_picture(self, name, png, size, step):
        raise ConnectionError("no route to host")


def test_every_logger_gets_curves_results_and_the_pictures_that_it_can_show(archives, tmp_path, caplog):
    config = composed(tmp_path, archives, "[csv,tensorboard]")
    assert list(config["logger"]) == ["csv", "tensorboard"]
    own = {name: {"_target_": f"{__name__}.{name}"} for name in ("Dropped", "Album")}
    metrics = run.train({**config, "logger": {**config["logger"], **own, "left out": None}})
    rows = read_table(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows if row.get("selection/value")] == ["3", "7", "11", "13"]
    assert float(rows[-1]["final/target/test_accuracy"]) == pytest.approx(metrics["target/test_accuracy"])
    assert len(list(tmp_path.glob("events.out.tfevents*"))) == 1
    shown = {name: (png, size, step) for name, png, size, step in Album.pictures}
    assert {"samples", "confusion/source", "confusion/target"} <= shown.keys()
    for png, size, step in shown.values():
        with Image.open(io.BytesIO(png)) as image:
            assert (image.format, image.size) == ("PNG", size[::-1])
        assert step in (0, 8, 14)
    assert shown["samples"][0] == (tmp_path / "samples.png").read_bytes()
    told = [record.getMessage() for record in caplog.records if "no route to host" in record.getMessage()]
    assert told == ["The run goes on without the picture samples in Dropped, and later ones: ConnectionError: no route to host"]


def test_a_logger_without_a_name_is_that_of_a_run_of_an_earlier_version(archives, tmp_path):
    config = composed(tmp_path, archives, "csv")
    config["logger"] = config["logger"]["csv"]
    train_with_stops(config, ("on_train_batch_end", 12))
    rows = read_table(tmp_path / "metrics.csv")
    assert [row["step"] for row in rows if row.get("selection/value")] == ["3", "7", "11", "13"]


def test_no_logger_is_one_that_does_nothing(archives, tmp_path):
    config = composed(tmp_path, archives, "csv")
    for nodes in ({}, {"csv": None}):
        assert [type(logger) for logger in assembly.build(config | {"logger": nodes}).trainer.loggers] == [DummyLogger]


def read_table(file):
    """Rows without what is empty and what takes its time."""
    with file.open(newline="") as lines:
        rows = [{name: value for name, value in row.items() if value} for row in csv.DictReader(lines)]
    return [{name: value for name, value in row.items() if name.removeprefix("final/") not in TIMES} for row in rows]


def without_times(curves):
    return {tag: curve for tag, curve in curves.items() if tag.removeprefix("final/") not in TIMES}
