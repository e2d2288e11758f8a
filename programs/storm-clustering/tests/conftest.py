"""Radar files that come with Py-ART, and the runs on them that many tests look at."""

from collections.abc import Callable
from pathlib import Path

import pytest
from program_runs import Run, radar_file, run


@pytest.fixture(scope="session")
def alabama() -> Path:
    """A Level III product: rain over Alabama, seen from Birmingham on 2015-01-02."""
    return radar_file("example_nexrad_level3_msg19")


@pytest.fixture(scope="session")
def seattle() -> Path:
    """A Level II archive: some rays of a sweep seen from Seattle on 2013-07-17."""
    return radar_file("example_nexrad_archive_msg31_compressed.ar2v")


@pytest.fixture(scope="session")
def alabama_run(alabama: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(alabama, out=tmp_path_factory.mktemp("alabama"))


@pytest.fixture(scope="session")
def seattle_run(seattle: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(seattle, "--threshold-dbz", "25", "--min-area-km2", "2", out=tmp_path_factory.mktemp("seattle"))


@pytest.fixture(params=["alabama_run", "seattle_run"])
def any_run(request: pytest.FixtureRequest) -> Run:
    ended: Run = request.getfixturevalue(request.param)
    assert ended.code == 0, ended.stderr
    return ended


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Run]:
    """Runs the program with these arguments, its results in a directory of their own."""

    def started(*arguments: str | Path, **environment: str) -> Run:
        return run(*arguments, out=tmp_path / "out", **environment)

    return started
