"""Data that lack classes of the model, or have others."""

import re

import numpy as np
import pytest
from small_runs import PHOTOGRAPHED, build_method, compose, rotating_blobs, rotating_clouds, write_photographs

import acclimate
from acclimate.data.images.image_folder import ImageFolder
from acclimate.errors import UserError
from acclimate.training import run

ONE_EPOCH = ("trainer.max_epochs=1", "data.num_workers=0")


def write(folder, kind, classes, seed):
    """Write images or rows of some classes, and return the path that names them."""
    folder.mkdir()
    number = dict.fromkeys(classes, 10)
    if kind in ("image_folder", "table"):
        write_photographs(folder / "all", seed=seed, number=10)
        for name in PHOTOGRAPHED:
            (folder / "all" / name).rename(folder / (name if name in classes else "owl as elk" if "elk" in classes else f".{name}"))
        if "elk" in classes:
            (folder / "owl as elk").rename(folder / "elk")
        if kind == "image_folder":
            (folder / "all").rmdir()
            return folder
        rows = [f"{name}/{place}.png,{name}" for name in classes for place in range(number[name])]
        (folder / "rows.csv").write_text("\n".join(["path,label", *rows, ""]))
        return folder / "rows.csv"
    names = np.array([name if name in classes else "elk" for name in PHOTOGRAPHED])
    values, labels = rotating_blobs(45, degrees=0, seed=seed) if kind == "arrays" else rotating_clouds(45, degrees=0, seed=seed)
    kept = np.isin(names[labels], classes)
    if kind == "arrays":
        np.savez(folder / "all.npz", x=values[kept], y=names[labels[kept]])
        return folder / "all.npz"
    rows = [",".join([*map(str, row), names[label]]) for row, label in zip(values[kept], labels[kept], strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,b,c,d,label", *rows, ""]))
    return folder / "rows.csv"


@pytest.mark.parametrize("kind", ["image_folder", "table", "arrays", "vectors"])
def test_a_source_that_lacks_a_class_is_evaluated_and_one_with_another_is_refused_unless_it_is_dropped(tmp_path, kind, caplog):
    train, less, other = (
        write(tmp_path / name, kind, classes, seed)
        for seed, (name, classes) in enumerate([("train", PHOTOGRAPHED), ("less", ("ant", "bee")), ("other", ("ant", "bee", "elk"))])
    )
    run.train(
        compose(
            tmp_path / "run", f"data={kind}", f"data.source={train}", "method=source_only", "data.source_labels_per_class=2", *ONE_EPOCH
        )
    )
    fewer = acclimate.evaluate(tmp_path / "run", [f"data.source={less}"])
    assert 0 <= fewer["source/test_accuracy"] <= 1
    assert any("owl" in message for message in caplog.messages) or kind != "image_folder"
    with pytest.raises(UserError, match=r"elk.*data\.unknown_classes=drop") as refusal:
        acclimate.evaluate(tmp_path / "run", [f"data.source={other}"])
    advised = re.search(r"data\.unknown_classes=drop", str(refusal.value))[0]
    dropped = acclimate.evaluate(tmp_path / "run", [f"data.source={other}", advised])
    assert 0 <= dropped["source/test_accuracy"] <= 1
    with pytest.raises(UserError, match="but the model knows"):
        run.train(
            compose(
                tmp_path / "next", f"data={kind}", f"data.source={less}", f"init_from={tmp_path / 'run'}", "method=source_only", *ONE_EPOCH
            )
        )


def test_rows_of_unknown_classes_are_refused_or_left_out(tmp_path):
    source, target = write(tmp_path / "source", "vectors", ("ant", "bee"), 0), write(tmp_path / "target", "vectors", PHOTOGRAPHED, 1)
    options = ["data=vectors", f"data.source={source}", f"data.target={target}", "method=dann"]
    with pytest.raises(UserError, match=r"has the classes owl besides .* Type data\.unknown_classes=drop to leave out 15 samples"):
        build_method(compose(tmp_path, *options))
    parts, _ = build_method(compose(tmp_path, *options, "data.unknown_classes=drop"))
    assert parts.data.domains.classes == ["ant", "bee"]
    assert sum(map(len, parts.data.domains.target)) == 30


def test_few_labels_of_classes_with_gaps_in_their_numbers(tmp_path):
    images, labels = rotating_blobs(60, degrees=0, seed=0)
    np.savez(tmp_path / "source.npz", x=images, y=np.array([3, 7, 40])[labels])
    kept = labels != 1
    np.savez(tmp_path / "target.npz", x=images[kept], y=np.array([3, 7, 40])[labels[kept]])
    options = ["data=arrays", f"data.source={tmp_path / 'source.npz'}", f"data.target={tmp_path / 'target.npz'}", "method=dann"]
    parts, batch = build_method(compose(tmp_path, *options, "data.target_labels_per_class=2", "data.source_labels_per_class=5"))
    assert parts.data.domains.classes == ["3", "7", "40"]
    assert parts.data.domains.source.train.labels.bincount().tolist() == [5, 5, 5]
    assert sorted(batch.target_labelled.labels.unique().tolist()) == [0, 2]
    with pytest.raises(UserError, match=r"only \d+ of 3, \d+ of 40\. Use fewer"):
        build_method(compose(tmp_path, *options, "data.target_labels_per_class=50"))


def test_a_target_without_a_known_class_is_not_advised_to_leave_out_all_of_it(tmp_path):
    for folder, classes in (("source", PHOTOGRAPHED), ("plural", [f"{name.title()}s" for name in PHOTOGRAPHED]), ("other", "abc")):
        write_photographs(tmp_path / folder, number=4)
        for old, new in zip(PHOTOGRAPHED, classes, strict=True):
            (tmp_path / folder / old).rename(tmp_path / folder / new)
    for folder, advice in (("plural", "type 'data.rename={Ants:ant,Bees:bee,Owls:owl}'"), ("other", "data.unknown_classes=unlabelled")):
        data = ImageFolder(source=str(tmp_path / "source"), target=str(tmp_path / folder))
        with pytest.raises(UserError) as problem:
            data.read()
        assert advice in str(problem.value) and "drop" not in str(problem.value)
