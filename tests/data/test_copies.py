"""Copies in other parts, in the other domain and in other classes are counted and named."""

import logging

import numpy as np
import pytest
import torch
from small_runs import compose, write_archives, write_photographs
from test_leakage import Undigested

from acclimate.data.copies import Copies
from acclimate.data.domains import Domains, Parts
from acclimate.data.images.image_arrays import ImageArrays
from acclimate.errors import ConfigError
from acclimate.training import assembly


def distinct(first, number, *, labels=None):
    """Images that each say in all of their pixels which one it is."""
    pixels = torch.arange(first, first + number, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    return ImageArrays(pixels.contiguous(), labels)


def joined(*several):
    return ImageArrays(torch.cat([one.images for one in several]), torch.cat([one.labels for one in several]))


def labelled(first, number):
    return distinct(first, number, labels=torch.arange(first, first + number) % 2)


def test_distinct_samples_are_not_mentioned():
    domains = Domains(["a", "b"], Parts(labelled(0, 9), labelled(9, 5), labelled(14, 5)), Parts(*(distinct(n, 5) for n in (20, 30, 40))))
    assert Copies(domains).exact() == []


def test_copies_in_other_parts_and_in_the_other_domain_are_counted_and_named():
    source = Parts(labelled(0, 9), joined(labelled(9, 4), labelled(0, 1)), joined(labelled(2, 2), labelled(10, 1), labelled(40, 2)))
    target = Parts(distinct(60, 3), distinct(63, 3), distinct(5, 4))
    assert Copies(Domains(["a", "b"], source, target)).exact() == [
        "1 of the 5 source val samples are copies of training samples, such as number 4 of source val and number 0 of source train.",
        "3 of the 5 source test samples are copies of training or validation samples, such as number 0 of source test and "
        "number 2 of source train.",
        "4 of the 10 target samples are copies of source samples, such as number 0 of target test and number 5 of source train.",
    ]


def test_a_sample_in_several_classes_is_named_with_them():
    twice = distinct(3, 1, labels=torch.tensor([2]))
    source = Parts(joined(labelled(0, 9), twice), labelled(9, 4), None)
    assert Copies(Domains(["ant", "bee", "owl"], source, None)).exact() == [
        "2 source samples are copies of samples of another class, such as number 3 of source train (bee) and "
        "number 9 of source train (owl). Check their labels; the classes are bee, owl."
    ]


def test_classes_of_the_target_are_not_compared():
    target = Parts(
        distinct(20, 4, labels=torch.arange(4)), distinct(24, 4), joined(labelled(40, 4), distinct(40, 4, labels=torch.ones(4).long()))
    )
    assert Copies(Domains(["a", "b"], Parts(labelled(0, 9), labelled(9, 4), None), target)).exact() == []


def test_samples_without_digests_are_left_alone():
    source = Parts(Undigested(torch.zeros(4, 1, 8, 8), torch.zeros(4).long()), labelled(9, 4), None)
    assert Copies(Domains(["a", "b"], source, source)).exact() == []


def test_a_run_reports_copies_of_files_and_of_rows(archives, tmp_path, caplog):
    write_photographs(tmp_path / "source")
    (tmp_path / "source/bee/again.png").write_bytes((tmp_path / "source/ant/3.png").read_bytes())
    folder = ("data=image_folder", f"data.source={tmp_path / 'source'}", "data.target=null", "model.weights=null", "data.num_workers=0")
    arrays = dict(np.load(archives[1].partition("=")[2]))
    arrays["x_test"][5] = arrays["x_train"][7]
    np.savez(tmp_path / "source.npz", **arrays)
    with caplog.at_level(logging.WARNING, logger="acclimate"):
        assembly.build(compose(tmp_path / "folder", *folder, "method=source_only", "data.cache=none"))
        assembly.build(compose(tmp_path / "arrays", "data=arrays", f"data.source={tmp_path / 'source.npz'}", "method=source_only"))
    assert "ant/3.png (ant) and" in caplog.text or "bee/again.png (bee) and" in caplog.text
    assert "Check their labels; the classes are ant, bee." in caplog.text
    assert "1 of the 12 source test samples are copies of training or validation samples, such as row 5 of x_test of " in caplog.text
    assert f"and row 7 of x_train of {tmp_path / 'source.npz'}." in caplog.text


@pytest.fixture(scope="module")
def same(tmp_path_factory):
    """Options for a source that is its own target, by another name."""
    folder = tmp_path_factory.mktemp("same")
    source = write_archives(folder)[1]
    (folder / "linked.npz").symlink_to("source.npz")
    return ["data=arrays", source, f"data.target={folder / 'linked.npz'}"]


def test_a_source_that_is_its_own_target_is_refused(same, tmp_path):
    with pytest.raises(ConfigError, match=r"are both .*source\.npz.*data\.target=null method=fine_tune.*data\.source_labels_per_class=10"):
        assembly.build(compose(tmp_path, *same, "method=dann"))


@pytest.mark.parametrize("advice", [["data.target=null", "method=fine_tune"], ["method=dann", "data.source_labels_per_class=5"]])
def test_what_is_said_to_do_about_it_works(same, tmp_path, advice):
    assembly.build(compose(tmp_path, *same, *advice))
