"""Groups strong gates into storms by DBSCAN on the map plane, and draws a line around each."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storm_clustering.scan import Floats, Gates, Scan, to_longitude_latitude

Labels = npt.NDArray[np.intp]
Position = tuple[float, float]
"""Longitude and latitude in WGS84 degrees, to 5 decimals (about a metre)."""

NOISE = -1
CELLS_PER_EPS = 6


@dataclass(frozen=True, slots=True)
class Search:
    """What counts as a storm."""

    threshold_dbz: float
    eps_km: float
    min_gates: int
    min_area_km2: float


@dataclass(frozen=True, slots=True)
class Storm:
    """One cluster of gates. `outline` is a closed ring, counterclockwise; `area_km2` is the ground below the gates."""

    id: int
    max_dbz: float
    mean_dbz: float
    area_km2: float
    gates: int
    centroid: Position
    outline: tuple[Position, ...]


def cluster(gates: Gates, eps_km: float, min_gates: int) -> Labels:
    """The cluster of each gate, counted from 0, or NOISE.

    Gates are clustered as cells: those in the same square of eps/6 count as one point at their mean place with their
    number as its weight. Near the radar, where gates are narrow and thousands of them are neighbours of each other,
    this bounds time and memory; farther out a cell is a gate.
    """
    if not len(gates):
        return np.empty(0, dtype=np.intp)
    from sklearn.cluster import DBSCAN

    side_km = eps_km / CELLS_PER_EPS
    places = np.column_stack([gates.x_km, gates.y_km])
    _, cell, weights = np.unique(np.floor(places / side_km), axis=0, return_inverse=True, return_counts=True)
    means = np.column_stack([np.bincount(cell, weights=axis) / weights for axis in places.T])
    labels = DBSCAN(eps=eps_km, min_samples=min_gates).fit(means, sample_weight=weights).labels_
    return np.asarray(labels[cell], dtype=np.intp)


def find_storms(scan: Scan, gates: Gates, labels: Labels, search: Search) -> tuple[Storm, ...]:
    """The clusters large enough as storms, strongest first, then largest; ids count from 1 in this order."""
    members = [np.flatnonzero(labels == label) for label in range(labels.max(initial=NOISE) + 1)]
    large = [chosen for chosen in members if gates.area_km2[chosen].sum() >= search.min_area_km2]
    large.sort(key=lambda chosen: (-gates.dbz[chosen].max(), -gates.area_km2[chosen].sum(), chosen[0]))
    return tuple(_storm(scan, gates, chosen, number, search.eps_km) for number, chosen in enumerate(large, start=1))


def _storm(scan: Scan, gates: Gates, chosen: Labels, number: int, eps_km: float) -> Storm:
    area_km2 = gates.area_km2[chosen]
    centre_km = [np.average(axis[chosen], weights=area_km2, keepdims=True) for axis in (gates.x_km, gates.y_km)]
    return Storm(
        id=number,
        max_dbz=round(float(gates.dbz[chosen].max()), 1),
        mean_dbz=round(float(gates.dbz[chosen].mean()), 1),
        area_km2=round(float(area_km2.sum()), 1),
        gates=len(chosen),
        centroid=_positions(scan, *centre_km)[0],
        outline=_outline(scan, gates.corners_km[chosen], eps_km),
    )


def _outline(scan: Scan, corners_km: Floats, eps_km: float) -> tuple[Position, ...]:
    """A line around the gates that follows every dent wider than eps, or wider than a gate where gates are wider."""
    import shapely

    widest_km = float(np.hypot(*np.moveaxis(corners_km - np.roll(corners_km, 1, axis=1), -1, 0)).max())
    points = shapely.MultiPoint(np.unique(corners_km.reshape(-1, 2).round(6), axis=0))
    hull = shapely.concave_hull(points, ratio=_concavity(points, max(eps_km, widest_km)))
    ring = shapely.geometry.polygon.orient(hull).exterior.coords
    x_km, y_km = np.asarray(ring, dtype=np.float64).T
    positions = _positions(scan, x_km, y_km)
    return tuple(here for here, before in zip(positions, [None, *positions], strict=False) if here != before)


def _concavity(points: object, widest_dent_km: float) -> float:
    """The share that makes shapely remove outer edges longer than this: it counts from 0, the shortest edge of the
    points' Delaunay triangulation, to 1, its longest."""
    import shapely

    edges = shapely.get_parts(shapely.get_parts(shapely.delaunay_triangles(points, only_edges=True)))
    lengths_km = shapely.length(edges)
    spread_km = float(np.ptp(lengths_km))
    return float(np.clip((widest_dent_km - lengths_km.min()) / spread_km, 0, 1)) if spread_km else 1.0


def _positions(scan: Scan, x_km: Floats, y_km: Floats) -> list[Position]:
    longitude_deg, latitude_deg = to_longitude_latitude(scan, x_km, y_km)
    return list(zip(longitude_deg.round(5).tolist(), latitude_deg.round(5).tolist(), strict=True))
