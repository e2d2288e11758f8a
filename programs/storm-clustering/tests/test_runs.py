"""How a run behaves: its arguments, its inputs, its exit codes."""

import bz2
import gzip
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from program_runs import Run, radar_file

from storm_clustering.cli import main

Start = Callable[..., Run]


def ended_with(run: Run, code: int, *words: str) -> bool:
    """The run ended with this code and one sentence that holds these words, and wrote nothing."""
    assert run.code == code, run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.stderr.splitlines()) == 1
    for word in words:
        assert word in run.stderr
    return not run.out.exists() or not list(run.out.iterdir())


def test_fewer_storms_are_left_as_the_threshold_rises(
    alabama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = []
    for threshold_dbz in ("30", "35", "40", "45", "50"):
        assert main([str(alabama), "--out", str(tmp_path), "--threshold-dbz", threshold_dbz]) == 0
        found.append(int(capsys.readouterr().out.split()[-1]))
    assert found[0] > found[-1] == 0
    assert found == sorted(found, reverse=True)


def test_no_storm_at_all_is_a_result(start: Start, alabama: Path) -> None:
    run = start(alabama, "--threshold-dbz", "70")
    assert run.code == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "storms 0"
    assert run.read("storms.geojson") == {"type": "FeatureCollection", "features": []}
    assert run.read("summary.json")["number_of_storms"] == 0
    assert ET.parse(run.out / "storms.kml").findall(".//{*}Folder/{*}Placemark") == []
    assert (run.out / "reflectivity.png").stat().st_size > 10_000


@pytest.mark.parametrize("compress", [bz2.compress, gzip.compress], ids=["bz2", "gzip"])
def test_compression_is_told_by_content_whatever_the_name(
    compress: Callable[[bytes], bytes], start: Start, alabama: Path, alabama_run: Run, tmp_path: Path
) -> None:
    packed = tmp_path / "radar.txt"
    packed.write_bytes(compress(alabama.read_bytes()))
    run = start(packed)
    assert (run.out / "storms.geojson").read_bytes() == (alabama_run.out / "storms.geojson").read_bytes()


@pytest.mark.parametrize("code", [163, 176])
def test_a_product_without_reflectivity_is_refused(code: int, start: Start) -> None:
    assert ended_with(start(radar_file(f"example_nexrad_level3_msg{code}")), 4, f"product {code}")


def test_a_file_of_another_kind_is_refused(start: Start) -> None:
    assert ended_with(start(radar_file("example_cfradial_ppi.nc")), 3, "not a NEXRAD file")


@pytest.mark.parametrize("content", [b"", b"storm\n", b"BZh9 and then nothing", b"\x1f\x8b\x08 cut"])
def test_a_file_with_no_radar_data_is_refused(content: bytes, start: Start, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    assert ended_with(start(path), 3, "input")


@pytest.mark.parametrize("share", [0.003, 0.1, 0.9])
@pytest.mark.parametrize("source", ["example_nexrad_level3_msg19", "example_nexrad_archive_msg31_compressed.ar2v"])
def test_a_file_cut_short_never_ends_in_a_traceback(source: str, share: float, start: Start, tmp_path: Path) -> None:
    whole = radar_file(source).read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(whole[: int(len(whole) * share)])
    run = start(path)
    assert run.code == 0 or ended_with(run, 3, "cut")


def test_a_missing_input_and_a_directory_as_input_are_refused(start: Start, tmp_path: Path) -> None:
    assert ended_with(start(tmp_path / "absent"), 3, "absent", "No such file")
    assert ended_with(start(tmp_path), 3, "directory")


def test_an_old_archive_needs_the_name_of_its_radar(start: Start) -> None:
    archive = radar_file("example_nexrad_archive_msg1.bz2")
    assert ended_with(start(archive), 2, "--site")
    assert ended_with(start(archive, "--site", "QQQQ"), 2, "QQQQ")
    named = start(archive, "--site", "klot")
    assert named.code == 0, named.stderr
    summary = named.read("summary.json")
    assert (summary["radar_site"], summary["volume_scan_time"]) == ("KLOT", "2003-01-01T00:09:21Z")
    assert round(summary["radar_latitude"]) == 42


def test_another_sweep_of_an_archive_can_be_chosen(start: Start) -> None:
    archive = radar_file("example_nexrad_archive_msg31.bz2")
    run = start(archive, "--sweep", "5")
    assert run.code == 0, run.stderr
    assert run.read("summary.json")["elevation_deg"] == pytest.approx(2.4, abs=0.1)


def test_a_sweep_that_is_not_there_is_refused(start: Start, alabama: Path, seattle: Path) -> None:
    assert ended_with(start(alabama, "--sweep", "2"), 2, "sweep 2")
    assert ended_with(start(seattle, "--sweep", "40"), 2, "sweep 40")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--threshold-dbz", "nan"),
        ("--threshold-dbz", "hail"),
        ("--eps-km", "0"),
        ("--eps-km", "inf"),
        ("--min-gates", "0"),
        ("--min-area-km2", "-1"),
        ("--sweep", "highest"),
        ("--site", "../x"),
    ],
)
def test_a_wrong_argument_is_refused_by_name(
    wrong: tuple[str, str], alabama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(alabama), "--out", str(tmp_path), *wrong])
    assert ended.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_an_output_place_that_is_a_file_is_refused_and_left_alone(
    alabama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "out"
    place.write_text("mine")
    assert main([str(alabama), "--out", str(place)]) == 5
    assert "Cannot write" in capsys.readouterr().err
    assert place.read_text() == "mine"


def test_a_result_that_cannot_be_replaced_leaves_no_parts_behind(
    alabama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "storms.kml").mkdir()
    assert main([str(alabama), "--out", str(tmp_path)]) == 5
    assert not list(tmp_path.glob(".*"))
    assert not (tmp_path / "summary.json").exists()


def test_a_home_that_cannot_be_written_to_does_not_matter(start: Start, alabama: Path) -> None:
    run = start(alabama, HOME="/proc", XDG_CACHE_HOME="/proc/none", XDG_CONFIG_HOME="/proc/none", MPLCONFIGDIR="")
    assert run.code == 0, run.stderr
    assert run.stderr == ""
