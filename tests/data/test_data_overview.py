"""The table by which a person sees what was understood of the data."""

import torch
from PIL import Image
from small_runs import write_photographs

from acclimate.data.data_overview import describe_data
from acclimate.data.domains import Domains, Parts
from acclimate.data.images.image_arrays import ImageArrays
from acclimate.data.images.image_folder import ImageFolder
from acclimate.data.labels import TargetLabels, take_labels_off


def images(*labels):
    return ImageArrays(torch.zeros(len(labels), 1, 4, 6, dtype=torch.uint8), torch.tensor(labels))


def test_samples_are_counted_by_class_and_part():
    source = Parts(images(0, 0, 1), images(1), None)
    target, labels = take_labels_off(Parts(images(1, 1), images(0), images(0, 1)))
    assert describe_data(Domains(["ant", "bee"], source, target), labels) == [
        "         source              target",
        "class     train       val     train       val      test",
        "ant           2         0         0         1         1",
        "bee           1         1         2         0         1",
        "all           3         1         2         1         2",
        "source: 4 × 6 pixels, grey, values from 0 to 255",
        "target: 4 × 6 pixels, grey, values from 0 to 255",
        "target labels: known of train, val, test; only the final test uses those of test",
    ]


def test_classes_of_an_unlabelled_target_are_not_known():
    unlabelled = Parts(*(images(0).with_labels(None) for _ in range(3)))
    lines = describe_data(Domains(["ant", "bee"], None, unlabelled), TargetLabels(unlabelled))
    assert lines[2].split() == ["ant", "?", "?", "?"]
    assert lines[-1] == "target labels: none, so there will be no target accuracy"


def test_every_line_fits_into_eighty_columns_whatever_the_classes_are_called():
    classes = [f"{number} {'very ' * 20}long\x1b[31m" for number in range(30)]
    part = images(*range(30))
    lines = describe_data(Domains(classes, Parts(part, part, part), Parts(part, part, part)), TargetLabels(Parts(part, part, part)))
    assert max(map(len, lines)) <= 80
    assert "… and 10 more classes" in lines
    assert all(line.isprintable() for line in lines)


def test_files_are_described_by_their_headers(tmp_path):
    write_photographs(tmp_path)
    Image.new("L", (30, 20)).save(tmp_path / "owl" / "grey.png")
    # A header alone.
    whole = (tmp_path / "ant" / "0.png").read_bytes()
    (tmp_path / "ant" / "0.png").write_bytes(whole[:60])
    (tmp_path / "ant" / "1.png").write_bytes(b"nothing")
    parts = ImageFolder(source=str(tmp_path), cache="disk").read().source
    described = [part.describe() for part in parts]
    assert {text.rpartition(" pixels, ")[2] for text in described} >= {"L, RGB"}
    assert any("18 × 18 to 30 × 20 pixels" in text for text in described)
