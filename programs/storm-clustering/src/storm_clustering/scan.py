"""One radar sweep and where its gates lie on the ground.

Places are worked out in a map plane: an azimuthal equidistant projection of the WGS84 ellipsoid centred on the radar,
x towards east and y towards north, in kilometres. Distances from the radar are true in it, and up to the 460 km a
NEXRAD radar reaches the others are wrong by less than a tenth of a percent.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Echoes = np.ma.MaskedArray[tuple[int, int], np.dtype[np.float32]]

# Radio waves bend downwards in a standard atmosphere as if the Earth's radius were 4/3 of its own
# (Doviak and Zrnic, Doppler Radar and Weather Observations, 2nd ed., section 2.2.3).
EFFECTIVE_EARTH_RADIUS_KM = 6371.0 * 4 / 3


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One sweep of reflectivity. Azimuths and slant ranges are those of the gates' centres; `dbz` is rays by gates,
    masked where there is no echo, no data, or an echo whose range is in doubt."""

    site: str
    longitude_deg: float
    latitude_deg: float
    product: str
    volume_scan_at: datetime
    elevation_deg: float
    azimuths_deg: Floats
    ray_width_deg: float
    slant_ranges_km: Floats
    gate_length_km: float
    dbz: Echoes


@dataclass(frozen=True, slots=True, eq=False)
class Gates:
    """Some gates of a scan, one element of each array per gate; `corners_km` is gates by 4 corners by (x, y)."""

    x_km: Floats
    y_km: Floats
    dbz: Floats
    area_km2: Floats
    corners_km: Floats

    def __len__(self) -> int:
        return len(self.x_km)


def ground_range_km(slant_range_km: Floats, elevation_deg: float) -> Floats:
    """Distance along the ground below a beam that left the radar at this elevation."""
    elevation = np.radians(elevation_deg)
    up = slant_range_km * np.sin(elevation) + EFFECTIVE_EARTH_RADIUS_KM
    along = slant_range_km * np.cos(elevation)
    return np.asarray(EFFECTIVE_EARTH_RADIUS_KM * np.arctan2(along, up), dtype=np.float64)


def gates_at_or_above(scan: Scan, threshold_dbz: float) -> Gates:
    """The gates whose echo reaches the threshold; masked gates never do."""
    ray, gate = np.nonzero(np.ma.filled(scan.dbz >= threshold_dbz, False))
    edges_km = _ground_edges_km(scan)
    near_km, far_km = edges_km[gate], edges_km[gate + 1]
    middle_km = ground_range_km(scan.slant_ranges_km, scan.elevation_deg)[gate]
    azimuth = np.radians(scan.azimuths_deg[ray])
    half_width = np.radians(scan.ray_width_deg) / 2
    left, right = azimuth - half_width, azimuth + half_width
    corners_km = np.stack(
        [
            np.stack(_plane(r, a), axis=-1)
            for r, a in ((near_km, left), (near_km, right), (far_km, right), (far_km, left))
        ],
        axis=1,
    )
    x_km, y_km = _plane(middle_km, azimuth)
    return Gates(
        x_km=x_km,
        y_km=y_km,
        dbz=np.asarray(scan.dbz.data[ray, gate], dtype=np.float64),
        area_km2=half_width * (far_km**2 - near_km**2),
        corners_km=corners_km,
    )


def sweep_mesh(scan: Scan) -> tuple[Floats, Floats, Echoes]:
    """Longitudes and latitudes of the sweep's gate corners, and its echoes, rays in order of azimuth.

    Each ray has its own pair of corner rows, so a gap in azimuth stays empty: the corners are (2 * rays, gates + 1),
    the echoes (2 * rays - 1, gates) with every second row masked.
    """
    order = np.argsort(scan.azimuths_deg, kind="stable")
    azimuth = np.repeat(scan.azimuths_deg[order], 2)
    azimuth[0::2] -= scan.ray_width_deg / 2
    azimuth[1::2] += scan.ray_width_deg / 2
    edges_km = _ground_edges_km(scan)
    x_km, y_km = _plane(edges_km[np.newaxis, :], np.radians(azimuth)[:, np.newaxis])
    longitude_deg, latitude_deg = to_longitude_latitude(scan, x_km, y_km)
    shape = (len(azimuth) - 1, len(edges_km) - 1)
    dbz = np.ma.MaskedArray(np.zeros(shape, dtype=np.float32), mask=np.ones(shape, dtype=np.bool_))
    dbz[0::2] = scan.dbz[order]
    return longitude_deg, latitude_deg, dbz


def to_longitude_latitude(scan: Scan, x_km: Floats, y_km: Floats) -> tuple[Floats, Floats]:
    """WGS84 degrees of points in the map plane around the scan's radar."""
    from pyproj import Geod

    azimuth_deg = np.degrees(np.arctan2(x_km, y_km))
    distance_m = np.hypot(x_km, y_km) * 1000
    longitude_deg, latitude_deg, _ = Geod(ellps="WGS84").fwd(
        np.full_like(azimuth_deg, scan.longitude_deg),
        np.full_like(azimuth_deg, scan.latitude_deg),
        azimuth_deg,
        distance_m,
    )
    return np.asarray(longitude_deg), np.asarray(latitude_deg)


def _ground_edges_km(scan: Scan) -> Floats:
    half = scan.gate_length_km / 2
    slant_km = np.append(scan.slant_ranges_km - half, scan.slant_ranges_km[-1] + half)
    return ground_range_km(np.maximum(slant_km, 0.0), scan.elevation_deg)


def _plane(distance_km: Floats, azimuth: Floats) -> tuple[Floats, Floats]:
    return distance_km * np.sin(azimuth), distance_km * np.cos(azimuth)
