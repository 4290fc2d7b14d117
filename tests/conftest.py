import os

import pytest
from small_runs import write_archives


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keeps the tests out of the user's cache; commands that they start inherit it."""
    os.environ["ACCLIMATE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """The options of `data=arrays` for generated, shifted domains of unequal size; the target has labels."""
    return write_archives(tmp_path_factory.mktemp("archives"))
