"""Random changes of known-good runs: each is refused with a message, or trains to sensible metrics."""

import shutil

import pytest
import random_configurations


@pytest.fixture(autouse=True)
def folders_that_changes_name_lie_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def failures(archives, tmp_path, seeds):
    found = {}
    for seed in seeds:
        config, changes = random_configurations.draw(seed, tmp_path / str(seed), archives)
        outcome = random_configurations.attempt(config)
        if outcome.kind not in ("refused", "trained"):
            found[seed] = (outcome.kind, changes, outcome.text)
        shutil.rmtree(tmp_path / str(seed), ignore_errors=True)
    return found


def test_forty_are_refused_or_train_sensibly(archives, tmp_path):
    assert failures(archives, tmp_path, range(40)) == {}


@pytest.mark.slow
def test_a_thousand_are_refused_or_train_sensibly(archives, tmp_path):
    assert failures(archives, tmp_path, range(1000)) == {}
