"""Several sources and several targets: their names, their division, and the domain of each sample."""

from collections import Counter

import numpy as np
import pytest
import torch
from small_runs import rotating_blobs, write_photographs

from acclimate.data.copies import Copies
from acclimate.data.images.arrays import Arrays
from acclimate.data.images.image_folder import ImageFolder
from acclimate.data.images.image_table import ImageTable
from acclimate.data.joined_samples import JoinedSamples
from acclimate.data.places import find_places
from acclimate.data.sampling import BalancedStream
from acclimate.data.vectors.vector_tables import VectorTables
from acclimate.errors import ConfigError, DataError


@pytest.fixture
def folders(tmp_path):
    """Four folders of images of the same classes, A to D."""
    for number, name in enumerate("ABCD"):
        write_photographs(tmp_path / name, seed=number, number=8 + number)
    return [str(tmp_path / name) for name in "ABCD"]


def names_of(parts):
    return [{part.name(index) for index in range(len(part))} for part in parts]


def names_by_domain(parts):
    """Return, for each domain, the names of its samples in each part."""
    return [
        [{part.name(index) for index in range(len(part)) if part.domains[index] == number} for part in parts]
        for number in range(len(parts.train.domain_names))
    ]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/photos"], ["photos"]),
        (["photos/a", "photos/b.npz", "c.csv.gz"], ["a", "b", "c"]),
        (["rome/cam1", "oslo/cam1", "cam2"], ["rome-cam1", "oslo-cam1", "cam2"]),
        (["a.csv", "a.parquet", "b"], ["a.csv", "a.parquet", "b"]),
        (["x/../2024", "o'brien, cam #2"], ["2024", "o'brien, cam #2"]),
    ],
)
def test_places_are_called_by_what_tells_them_apart(paths, names):
    assert [place.name for place in find_places(paths, "data.source")] == names


def test_a_place_is_named_once(folders):
    with pytest.raises(ConfigError, match=r"data\.target names .*A twice\. Name each place once"):
        ImageFolder(source=folders[0], target=[folders[0], folders[0] + "/."])
    with pytest.raises(ConfigError, match=r"data\.source=\[\] names nothing"):
        ImageFolder(source=[])


def test_a_list_of_one_is_that_place(folders):
    first, again = (ImageFolder(source=source, target=folders[2]).domains for source in (folders[0], folders[:1]))
    assert again.source.train.domains is None
    assert names_of(first.source) == names_of(again.source)


def test_each_place_is_divided_as_it_would_be_alone(folders):
    both = ImageFolder(source=folders[:2], target=folders[2:]).domains
    alone = [ImageFolder(source=source, target=target).domains for source, target in zip(folders[:2], folders[2:], strict=True)]
    assert names_by_domain(both.source) == [names_of(one.source) for one in alone]
    assert names_by_domain(both.target) == [names_of(one.target) for one in alone]
    assert both.source.train.domain_names == ["A", "B"] and both.target.test.domain_names == ["C", "D"]


def test_copies_and_groups_stay_together_across_places(tmp_path):
    for number, name in enumerate("AB"):
        write_photographs(tmp_path / name, seed=number, number=6)
    for image in (tmp_path / "A").rglob("*.png"):
        (tmp_path / "B" / image.parent.name / f"copy_{image.name}").write_bytes(image.read_bytes())
    data = ImageFolder(source=[str(tmp_path / "A"), str(tmp_path / "B")])
    digests = [set(part.digests().tolist()) for part in data.domains.source]
    assert not digests[0] & digests[1] and not digests[0] & digests[2] and not digests[1] & digests[2]
    assert Copies(data.domains).exact() == [
        f"36 of the 54 source samples are copies of samples of another source, such as {tmp_path / 'A/ant/0.png'} and "
        f"{tmp_path / 'B/ant/copy_0.png'}."
    ]
    grouped = ImageFolder(source=[str(tmp_path / "A"), str(tmp_path / "B")], group=r"(\d)\.png")
    groups = [{grouped.group_of(part.name(index)) for index in range(len(part))} for part in grouped.domains.source]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]


def test_a_place_keeps_its_own_parts_beside_one_that_has_none(tmp_path):
    write_photographs(tmp_path / "A" / "train", number=6)
    write_photographs(tmp_path / "A" / "val", seed=1, number=2)
    write_photographs(tmp_path / "B", seed=2, number=8)
    source = [str(tmp_path / "A"), str(tmp_path / "B")]
    parts = ImageFolder(source=source).domains.source
    assert Counter(parts.train.domains.tolist())[0] == 18
    assert Counter(parts.val.domains.tolist())[0] == 6 and set(parts.test.domains.tolist()) == {1}
    alone = ImageFolder(source=source[1]).domains.source
    assert [named[1] for named in zip(*names_by_domain(parts), strict=True)] == names_of(alone)


@pytest.mark.parametrize("unlabelled", [False, True])
def test_the_classes_are_those_of_all_sources(tmp_path, unlabelled):
    for number, name in enumerate("ABC"):
        write_photographs(tmp_path / name, seed=number, number=6)
    (tmp_path / "A" / "owl").rename(tmp_path / "owl of A")
    (tmp_path / "B" / "ant").rename(tmp_path / "ant of B")
    source = [str(tmp_path / "A"), str(tmp_path / "B")]
    data = ImageFolder(source=source, target=str(tmp_path / "C"))
    assert data.domains.classes == ["ant", "bee", "owl"]
    assert [sorted({data.domains.source.train.labels[data.domains.source.train.domains == one].tolist()[0]}) for one in (0, 1)] == [
        [0],
        [1],
    ]
    (tmp_path / "C" / "owl").rename(tmp_path / "C" / "elk")
    with pytest.raises(DataError, match="it also has elk"):
        _ = ImageFolder(source=source, target=str(tmp_path / "C")).domains
    assert len(ImageFolder(source=source, target=[str(tmp_path / "C")], unknown_classes="drop").domains.target.train) == 8


def test_a_target_may_have_no_labels_beside_one_that_has_some(folders, tmp_path):
    (tmp_path / "new").mkdir()
    for number, image in enumerate((tmp_path / "D").rglob("*.png")):
        image.rename(tmp_path / "new" / f"{number}.png")
    data = ImageFolder(source=folders[0], target=[folders[2], str(tmp_path / "new")])
    labels, domains = data.target_labels.for_final_test(), data.domains.target.test.domains
    assert data.domains.target.test.labels is None
    assert (labels[domains == 0] >= 0).all() and (labels[domains == 1] == -1).all() and (domains == 1).any()


def test_the_labels_of_targets_are_only_behind_the_wall(folders):
    parts = ImageFolder(source=folders[0], target=folders[2:]).domains.target
    assert all(samples.labels is None for part in parts for samples in (part, *part.sets.values()))


def test_tables_and_arrays_take_several_files(tmp_path, folders):
    for number, name in enumerate("ABC"):
        rows = [f"{value},{value + number},{'xy'[value % 2]}" for value in range(10 + number)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,b,label", *rows, ""]))
        images, labels = rotating_blobs(12, degrees=0, seed=number)
        # Of several sizes.
        np.savez(tmp_path / f"{name}.npz", x=images[:, : 16 - number], y=labels)
    paths = {name: str(tmp_path / name) for name in ("A.csv", "B.csv", "C.csv", "A.npz", "B.npz", "C.npz")}
    vectors = VectorTables(source=[paths["A.csv"], paths["B.csv"]], target=[paths["C.csv"]])
    assert sum(map(len, vectors.domains.source)) == 21
    assert vectors.input_spec().mean.shape == (2,)
    arrays = Arrays(source=[paths["A.npz"], paths["B.npz"]], target=paths["C.npz"])
    train = arrays.domains.source.train
    first, last = train.load([0]), train.load([len(train) - 1, 0])
    assert first[0].shape == (3, 16, 16) and last[0].shape == (3, 15, 16) and torch.equal(first[0], last[1])
    for name in "AB":
        listed = [f"{name}/{folder}/{number}.png,{folder}" for folder in ("ant", "bee") for number in range(8)]
        (tmp_path / f"list {name}.csv").write_text("\n".join(["path,label", *listed, ""]))
    table = ImageTable(source=[str(tmp_path / "list A.csv"), str(tmp_path / "list B.csv")])
    assert table.domains.source.train.domain_names == ["list A", "list B"] and sum(map(len, table.domains.source)) == 32


def test_samples_of_several_domains_keep_their_order(folders):
    parts = ImageFolder(source=folders[:2]).domains.source
    assert isinstance(parts.train, JoinedSamples)
    order = torch.randperm(len(parts.train), generator=torch.Generator().manual_seed(0)).tolist()
    mixed = parts.train.take(order)
    assert [mixed.name(place) for place in range(len(mixed))] == [parts.train.name(index) for index in order]
    assert torch.equal(mixed.digests(), parts.train.digests()[order]) and torch.equal(mixed.domains, parts.train.domains[order])
    for image, index in zip(mixed.load(range(len(mixed))), order, strict=True):
        assert torch.equal(image, parts.train.load([index])[0])
    assert mixed.fingerprint() != parts.train.fingerprint() and mixed.describe() == parts.train.describe()


@pytest.mark.parametrize("batch_size", [4, 7])
def test_balanced_domains_are_equally_frequent_and_so_are_classes_within_them(batch_size):
    domains, labels = torch.tensor([0] * 30 + [1] * 6 + [2] * 9), torch.arange(45) % 3
    stream, again = (BalancedStream(domains, batch_size, seed=0, within=labels) for _ in range(2))
    drawn = [stream.batch(number) for number in range(90)]
    for batch in drawn:
        counts = Counter(int(domains[draw.sample]) for draw in batch)
        assert max(counts.values()) - min(counts[number] for number in range(3)) <= 1
    pairs = Counter((int(domains[draw.sample]), int(labels[draw.sample])) for batch in drawn for draw in batch)
    assert len(pairs) == 9 and max(pairs.values()) - min(pairs.values()) <= 2
    assert again.batch(61) == drawn[61]
