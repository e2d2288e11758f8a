"""Where gates lie and how they are grouped, on sweeps made for the purpose, and on the real one."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from program_runs import radar_file
from pyproj import Geod
from sklearn.cluster import DBSCAN

from storm_clustering.nexrad import LOWEST, read_scan
from storm_clustering.scan import Scan, gates_at_or_above, ground_range_km, sweep_mesh
from storm_clustering.storms import NOISE, Search, Storm, cluster, find_storms

SEARCH = Search(threshold_dbz=40.0, eps_km=4.0, min_gates=8, min_area_km2=10.0)
RADAR = (-97.0, 35.0)


def made_scan(*blobs: tuple[float, float, float, float]) -> Scan:
    """A sweep with echoes of some dBZ within some km of places given as azimuth and range: (azimuth, km, km, dBZ)."""
    azimuths_deg = np.arange(720, dtype=np.float64) * 0.5 + 0.25
    ranges_km = 0.5 + np.arange(400, dtype=np.float64) * 0.5
    east, north = (ranges_km * f(np.radians(azimuths_deg))[:, np.newaxis] for f in (np.sin, np.cos))
    dbz = np.ma.MaskedArray(np.zeros(east.shape, dtype=np.float32), mask=True)
    for azimuth_deg, distance_km, radius_km, strength_dbz in blobs:
        x, y = distance_km * np.sin(np.radians(azimuth_deg)), distance_km * np.cos(np.radians(azimuth_deg))
        dbz[np.hypot(east - x, north - y) <= radius_km] = strength_dbz
    return Scan(
        site="KTST",
        longitude_deg=RADAR[0],
        latitude_deg=RADAR[1],
        product="made",
        volume_scan_at=datetime(2020, 5, 1, tzinfo=UTC),
        elevation_deg=0.5,
        azimuths_deg=azimuths_deg,
        ray_width_deg=0.5,
        slant_ranges_km=ranges_km,
        gate_length_km=0.5,
        dbz=dbz,
    )


def storms_of(scan: Scan, search: Search = SEARCH) -> tuple[Storm, ...]:
    gates = gates_at_or_above(scan, search.threshold_dbz)
    return find_storms(scan, gates, cluster(gates, search.eps_km, search.min_gates), search)


def test_made_storms_are_found_at_their_places_with_their_sizes() -> None:
    blobs = ((40.0, 80.0, 6.0, 55.0), (200.0, 150.0, 9.0, 50.0), (310.0, 30.0, 4.0, 45.0))
    storms = storms_of(made_scan(*blobs))
    assert [storm.max_dbz for storm in storms] == [55.0, 50.0, 45.0]
    for storm, (azimuth_deg, distance_km, radius_km, _) in zip(storms, blobs, strict=True):
        longitude, latitude, _ = Geod(ellps="WGS84").fwd(*RADAR, azimuth_deg, distance_km * 1000)
        _, _, metres_off = Geod(ellps="WGS84").inv(longitude, latitude, *storm.centroid)
        assert metres_off < 300
        assert storm.area_km2 == pytest.approx(np.pi * radius_km**2, rel=0.05)


def test_a_storm_across_north_is_one_storm() -> None:
    assert len(storms_of(made_scan((0.0, 100.0, 8.0, 50.0)))) == 1


def test_two_cells_are_one_storm_only_when_the_gap_is_within_reach() -> None:
    scan = made_scan((90.0, 100.0, 5.0, 50.0), (90.0, 113.0, 5.0, 50.0))
    assert len(storms_of(scan, Search(40.0, 2.0, 8, 10.0))) == 2
    assert len(storms_of(scan, Search(40.0, 5.0, 8, 10.0))) == 1


def test_a_speck_smaller_than_the_least_area_is_no_storm() -> None:
    scan = made_scan((90.0, 60.0, 1.5, 60.0))
    assert storms_of(scan) == ()
    assert len(storms_of(scan, Search(40.0, 4.0, 8, 1.0))) == 1


def test_a_masked_gate_never_counts_however_strong_the_value_below_the_mask() -> None:
    scan = made_scan()
    scan.dbz.data[:] = 70
    assert len(gates_at_or_above(scan, -30.0)) == 0


def test_a_gate_at_the_threshold_counts() -> None:
    scan = made_scan((90.0, 60.0, 5.0, 40.0))
    assert len(gates_at_or_above(scan, 40.0)) > 0
    assert len(gates_at_or_above(scan, 40.1)) == 0


def test_the_areas_of_all_gates_add_up_to_the_disc() -> None:
    scan = made_scan((0.0, 0.0, 1000.0, 50.0))
    gates = gates_at_or_above(scan, 40.0)
    edges_km = ground_range_km(np.array([0.25, 200.25]), scan.elevation_deg)
    assert gates.area_km2.sum() == pytest.approx(np.pi * (edges_km[1] ** 2 - edges_km[0] ** 2), rel=1e-9)


def test_the_ground_below_a_level_beam_is_nearer_than_the_echo_and_never_by_much() -> None:
    slant_km = np.array([1.0, 100.0, 230.0, 460.0])
    short_km = slant_km - ground_range_km(slant_km, 0.5)
    assert (short_km > 0).all()
    assert (short_km < 1.2).all()


def test_rays_missing_from_a_sweep_leave_a_gap_in_the_mesh() -> None:
    _, _, dbz = sweep_mesh(made_scan((0.0, 0.0, 1000.0, 50.0)))
    assert dbz.shape == (2 * 720 - 1, 400)
    assert dbz[1::2].mask.all()
    assert not dbz[0::2].mask.any()


@pytest.mark.parametrize("threshold_dbz", [20.0, 25.0, 30.0, 40.0])
def test_clustering_by_cells_groups_the_real_gates_as_dbscan_of_the_gates_does(
    threshold_dbz: float, alabama: Path
) -> None:
    """A gate at the border of two clusters may go to either, in any DBSCAN; the core gates tell the clusters."""
    gates = gates_at_or_above(read_scan(alabama, LOWEST, None), threshold_dbz)
    ours = cluster(gates, SEARCH.eps_km, SEARCH.min_gates)
    places = np.column_stack([gates.x_km, gates.y_km])
    plain = DBSCAN(eps=SEARCH.eps_km, min_samples=SEARCH.min_gates).fit(places)
    core = plain.core_sample_indices_
    pairs = set(zip(ours[core].tolist(), plain.labels_[core].tolist(), strict=True))
    assert len(pairs) == ours.max() + 1 == plain.labels_.max() + 1
    assert np.array_equal(ours == NOISE, plain.labels_ == NOISE)


def test_reading_gives_the_values_that_the_whole_of_pyart_reads(alabama: Path, seattle: Path, tmp_path: Path) -> None:
    """In a process of its own, since importing all of Py-ART warns and is slow."""
    script = (
        "import sys, numpy, pyart\n"
        "for name, path in (('level3', sys.argv[1]), ('level2', sys.argv[2])):\n"
        "    radar = pyart.io.read(path)\n"
        "    numpy.savez(sys.argv[3] + name, z=radar.fields['reflectivity']['data'].filled(-999),\n"
        "        at=[radar.longitude['data'][0], radar.latitude['data'][0]], r=radar.range['data'],\n"
        "        a=radar.azimuth['data'])\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(alabama), str(seattle), f"{tmp_path}/"],
        check=True,
        capture_output=True,
        timeout=120,
    )
    for name, path, half_a_gate_km, half_a_ray_deg in (("level3", alabama, 0.4995, 0.5), ("level2", seattle, 0.0, 0.0)):
        theirs, ours = np.load(tmp_path / f"{name}.npz"), read_scan(path, LOWEST, None)
        assert np.array_equal(ours.dbz.filled(-999), theirs["z"])
        assert [ours.longitude_deg, ours.latitude_deg] == pytest.approx(theirs["at"])
        assert ours.slant_ranges_km == pytest.approx(theirs["r"] / 1000 + half_a_gate_km, abs=1e-4)
        assert ours.azimuths_deg == pytest.approx((theirs["a"] + half_a_ray_deg) % 360, abs=1e-4)


def test_an_old_archive_is_read_once_round_and_without_gates_behind_the_antenna() -> None:
    scan = read_scan(radar_file("example_nexrad_archive_msg1.bz2"), LOWEST, "KLOT")
    assert scan.slant_ranges_km[0] > 0
    assert scan.dbz.shape == (len(scan.azimuths_deg), len(scan.slant_ranges_km))
    assert len(scan.azimuths_deg) < 367  # as many rays as the archive has
    turned_deg = np.sum((np.diff(scan.azimuths_deg) + 180) % 360 - 180)
    assert 358 < turned_deg < 360
