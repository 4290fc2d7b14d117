import json

import numpy as np
import pytest
from small_runs import SMALL, rotating_blobs


@pytest.fixture(scope="module")
def benchmark(benchmarks):
    return benchmarks("test_time")


def test_brightness_is_added_and_ends_at_white(benchmark):
    images = np.array([[[0, 100, 250]]], dtype=np.uint8)
    # 0.3 of 255 are 76.5.
    assert benchmark.brighter(images, 3).tolist() == [[[76, 176, 255]]]


def test_contrast_shrinks_around_the_mean_of_each_image(benchmark):
    images = np.array([[[0, 205]], [[50, 51]]], dtype=np.uint8)
    # 102.5 ± 10.25 and 50.5 ± 0.05.
    assert benchmark.with_less_contrast(images, 4).tolist() == [[[92, 112]], [[50, 50]]]


def test_noise_has_the_deviation_of_its_severity_and_is_the_same_again(benchmark):
    images = np.full((4, 50, 50), 128, dtype=np.uint8)
    noisy = benchmark.with_noise(images, 2)
    assert (noisy == benchmark.with_noise(images, 2)).all()
    assert (noisy / 255).std() == pytest.approx(0.12, rel=0.05)


@pytest.mark.parametrize("severity", [1, 5])
def test_shifts_leave_the_images_that_they_are_given(benchmark, severity):
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    before = images.copy()
    for shift in benchmark.SHIFTS.values():
        assert shift(images, severity).dtype == np.uint8
        assert (images == before).all()


@pytest.fixture
def program(call_program, benchmark, monkeypatch, tmp_path):
    """The benchmark on generated images with a tiny network and one shift of one severity."""
    x_train, y_train = rotating_blobs(60, degrees=0, seed=0)
    x_test, y_test = rotating_blobs(20, degrees=0, seed=1)
    np.savez(tmp_path / "mnist.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    monkeypatch.setenv("ACCLIMATE_DATA", str(tmp_path))
    monkeypatch.setattr(benchmark, "SIZES", benchmark.Sizes(source=30, adapting=20, tested=10))
    monkeypatch.setattr(benchmark, "SHIFTS", {"contrast": benchmark.with_less_contrast})
    monkeypatch.setattr(benchmark, "SEVERITIES", [2])
    monkeypatch.setattr(benchmark, "COMMON", ("data=arrays", *SMALL))
    return lambda *arguments: call_program(benchmark, *arguments)


def test_every_way_is_tested_on_every_shift(program, benchmark, tmp_path):
    assert program() == 0
    ((found,),) = json.loads((tmp_path / "test_time.json").read_text()).values()
    assert set(found) == {"no adaptation", "ada_bn", "tent", "tent after 5 passes"}
    table = (tmp_path / "test_time.md").read_text()
    assert all(f"| contrast: {way} | {value:.4f} | {value:.4f} |" in table for way, value in found.items())


def test_no_image_trains_and_adapts(benchmark, tmp_path):
    digits = {"x_train": np.arange(60, dtype=np.uint8), "x_test": np.arange(60, 80, dtype=np.uint8)}
    images = {name: np.broadcast_to(values[:, None, None], (len(values), 4, 4)) for name, values in digits.items()}
    np.savez(tmp_path / "mnist.npz", **images, y_train=np.arange(60) % 3, y_test=np.arange(20) % 3)
    benchmark.write_archives(tmp_path / "mnist.npz", tmp_path, benchmark.Sizes(source=30, adapting=20, tested=10))
    source, target = (np.load(tmp_path / f"{name}.npz") for name in ("source", "contrast-1"))
    assert [len(archive[part]) for archive in (source, target) for part in ("x_train", "x_test")] == [30, 10, 20, 10]
    trained, adapting = ({*archive["x_train"][:, 0, 0].tolist()} for archive in (source, target))
    assert not trained & adapting
    assert (source["x_train"][:, 0, 0] % 3 == source["y_train"]).all()


def test_a_second_call_trains_nothing(program, tmp_path):
    assert program() == 0
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("metrics.json")}
    assert len(times) == 4
    assert program() == 0
    assert times == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("metrics.json")}


def test_what_was_adapted_otherwise_is_adapted_anew(program, tmp_path):
    assert program() == 0
    times = {file.parent.name: file.stat().st_mtime_ns for file in tmp_path.rglob("metrics.json")}
    assert program("optimizer.lr=0.1") == 0
    after = {file.parent.name: file.stat().st_mtime_ns for file in tmp_path.rglob("metrics.json")}
    assert {name for name in after if after[name] == times[name]} == {"source"}


def test_a_missing_archive_is_named(program, tmp_path, capsys):
    (tmp_path / "mnist.npz").unlink()
    assert program() == 2
    assert "mnist.npz" in capsys.readouterr().out
