import logging
import os
import random
import zipfile

import pytest
import torch

from acclimate.errors import ConfigError
from acclimate.runs.checkpoint_files import load, previous, save

# Many small tensors, between which an archive has room that holds nothing.
STATE = {f"layer{number}": torch.full((number,), float(number)) for number in range(1, 20)}


def checkpoint(step):
    return {"config": {"seed": 0}, "global_step": step, "state_dict": STATE}


def assert_holds(path, step):
    contents, file = load(path)
    assert (contents["global_step"], file) == (step, path)
    torch.testing.assert_close(contents["state_dict"], STATE, rtol=0, atol=0)


@pytest.fixture
def path(tmp_path):
    """Two checkpoints, of steps 1 and 2."""
    for step in (1, 2):
        save(checkpoint(step), tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def cut(path):
    os.truncate(path, path.stat().st_size // 2)


def cut_last_byte(path):
    os.truncate(path, path.stat().st_size - 1)


def empty(path):
    os.truncate(path, 0)


def overwrite_with_text(path):
    path.write_text("not a checkpoint")


def overwrite_with_zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def overwrite_with_an_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"text")


def overwrite_with_weights(path):
    torch.save(STATE, path)


def overwrite_with_a_pickle(path):
    torch.save(checkpoint(3), path, _use_new_zipfile_serialization=False)


def turn_into_a_folder(path):
    path.unlink()
    path.mkdir()


def turn_into_a_dangling_link(path):
    path.unlink()
    path.symlink_to("nowhere")


def remove(path):
    path.unlink()


DAMAGE = [
    cut,
    cut_last_byte,
    empty,
    overwrite_with_text,
    overwrite_with_zeros,
    overwrite_with_an_archive,
    overwrite_with_weights,
    overwrite_with_a_pickle,
    turn_into_a_folder,
    turn_into_a_dangling_link,
    remove,
]


def test_torch_reads_what_is_saved_wherever_the_file_is(path, tmp_path):
    moved = path.rename(tmp_path / "elsewhere")
    assert torch.load(moved, weights_only=True)["global_step"] == 2
    assert zipfile.ZipFile(moved).testzip() is None
    assert_holds(moved, 2)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda function: function.__name__)
def test_the_checkpoint_before_a_damaged_one_is_used_and_both_are_named(path, damage, caplog):
    damage(path)
    with caplog.at_level(logging.WARNING):
        contents, file = load(path)
    assert (contents["global_step"], file) == (1, previous(path))
    assert f"Continuing with the previous checkpoint, {previous(path)}, of step 1" in caplog.text
    assert (f"{path} cannot be read as a checkpoint" in caplog.text) is (damage is not remove)
    damage(previous(path))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert ("There is no" if damage is remove else str(previous(path))) in str(caught.value)
    # What it continues with replaces what is damaged.
    if damage is not turn_into_a_folder:
        save(checkpoint(3), path)
        assert_holds(path, 3)


def test_a_flipped_bit_is_found_wherever_it_is(path):
    whole = path.read_bytes()
    places = random.Random(0).sample(range(len(whole)), 200)
    # And all of the end, where the checksum is.
    for place in [*places, *range(len(whole) - 60, len(whole))]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert load(path)[1] == previous(path), place


def test_a_checkpoint_from_before_there_were_checksums_is_read_and_its_damage_found(tmp_path):
    path = tmp_path / "old.ckpt"
    torch.save(checkpoint(2), path)
    assert_holds(path, 2)
    tensor = STATE["layer19"].numpy().tobytes()
    path.write_bytes(path.read_bytes().replace(tensor, tensor[:-1] + b"\1"))
    assert torch.load(path, weights_only=True)["state_dict"]["layer19"][-1] != 19
    with pytest.raises(ConfigError, match="do not match its checksum"):
        load(path)
