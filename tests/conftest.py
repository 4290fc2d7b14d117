import pytest
from small_runs import write_archives


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The options of `data=arrays` for generated, shifted domains of unequal size; the target has labels."""
    return write_archives(tmp_path_factory.mktemp("archives"))
