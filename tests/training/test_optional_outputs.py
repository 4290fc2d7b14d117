"""A run ends with its metrics, whatever becomes of pictures, tables and loggers."""

import errno
import json

import pytest
from pytorch_lightning.loggers.logger import DummyLogger
from small_runs import compose, differences, trained_state
from torch.utils.tensorboard.writer import FileWriter

from acclimate import figures
from acclimate.data.images.images import Images
from acclimate.errors import StorageError
from acclimate.files.full_disk import explain
from acclimate.training import class_results, run
from acclimate.training.callbacks import final_predictions, pictures
from acclimate.training.optional_outputs import optional_output

OPTIONS = (
    "method=dann",
    "trainer.max_steps=3",
    "callbacks.pictures={_target_:acclimate.training.callbacks.pictures.Pictures,folder:${folder}}",
)


TENSORBOARD = {"_target_": "acclimate.training.loggers.TensorBoard", "name": "", "version": ""}


class BrokenLogger(DummyLogger):
    """A logger none of whose methods works, as of a service that cannot be reached."""

    def _fail(self, *arguments, **keywords):
        raise ConnectionError("no route to host")

    log_metrics = log_hyperparams = save = after_save_checkpoint = finalize = _fail


def fail(*_, **__):
    raise RuntimeError("a fault")


FAULTS = {
    "drawing samples": (Images, "thumbnails"),
    "writing pictures": (pictures, "write_picture"),
    "drawing features": (pictures, "draw_projection"),
    "the projector": (pictures, "write_projector"),
    "drawing text": (figures, "drawable"),
    "drawing figures": (figures, "picture"),
    "TensorBoard's values": (FileWriter, "add_summary"),
    "TensorBoard's file": (FileWriter, "flush"),
    "test_predictions.csv": (final_predictions, "write_table"),
    "per_class.csv": (class_results, "write_table"),
    "target_predictions.npz": (run, "write_predictions"),
    "comparison": (run, "negative_transfer"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_ends_with_its_metrics_without_an_output_that_fails(fault, archives, tmp_path, monkeypatch, caplog):
    config = compose(tmp_path, *archives, *OPTIONS)
    monkeypatch.setattr(*FAULTS[fault], fail)
    metrics = run.train({**config, "logger": {**TENSORBOARD, "save_dir": str(tmp_path)}})
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("The run goes on without ")]
    assert 1 <= len(told) == len(set(told)) <= 5


def test_a_run_goes_on_without_a_logger_that_fails(archives, tmp_path, caplog):
    config = compose(tmp_path, *archives, *OPTIONS, "trainer.log_every_n_steps=1")
    metrics = run.train({**config, "logger": {"_target_": f"{__name__}.BrokenLogger"}})
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    told = [record.getMessage() for record in caplog.records if "no route to host" in record.getMessage()]
    assert "The run goes on without the output of BrokenLogger.log_metrics: ConnectionError: no route to host" in told
    assert len(told) == len(set(told))


def test_a_place_that_is_taken_loses_no_run(archives, tmp_path):
    for name in ("test_predictions.csv", "per_class.csv", "target_confusion.png", "samples.png", "target_predictions.npz"):
        (tmp_path / name).mkdir()
    run.train(compose(tmp_path, *archives, *OPTIONS))
    assert (tmp_path / "metrics.json").is_file()


@pytest.mark.parametrize("is_explained", [False, True])
def test_a_full_disk_stops_a_run_so_that_it_can_be_continued(is_explained, tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises((OSError, StorageError)), optional_output("a table"):
        if is_explained:
            raise StorageError(explain(full, tmp_path)) from full
        raise full


def test_an_interruption_is_no_error_of_an_output():
    with pytest.raises(KeyboardInterrupt), optional_output("a table"):
        raise KeyboardInterrupt


def test_results_are_equal_with_and_without_a_failing_output(archives, tmp_path):
    plain, broken = (compose(tmp_path / name, *archives, "method=dann", "trainer.max_steps=3") for name in ("plain", "broken"))
    run.train(plain)
    run.train({**broken, "logger": {"_target_": f"{__name__}.BrokenLogger"}})
    assert differences(trained_state(tmp_path / "plain"), trained_state(tmp_path / "broken")) == []
