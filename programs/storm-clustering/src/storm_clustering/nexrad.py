"""Reads one sweep of reflectivity from a NEXRAD file, Level II archive or Level III product.

What a file is, and how it is compressed, is told by its content. The formats are decoded by Py-ART's file classes.
Importing the `pyart` package takes several seconds, nearly all for things not needed here, so its three modules for
these formats are loaded from their files: Py-ART keeps them free from the rest of itself for such use.
"""

import bz2
import gzip
import importlib.util
import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final, cast

import numpy as np

from storm_clustering.failure import BadArguments, NoReflectivity, UnreadableInput
from storm_clustering.scan import Floats, Scan

LARGEST_VOLUME_BYTES = 1 << 30  # a whole Level II volume is some 100 MB; more is a mistake or an attack

# Level III message codes with reflectivity along radials (Interface Control Document for the RPG to Class 1 User,
# 2620001, table III).
REFLECTIVITY_PRODUCTS = {
    19: "base reflectivity",
    20: "base reflectivity, long range",
    94: "base reflectivity data array",
    153: "super resolution base reflectivity",
    181: "terminal radar base reflectivity",
    186: "terminal radar base reflectivity, long range",
}

LOWEST: Final = 0
"""The sweep number that stands for: whichever sweep with reflectivity looks lowest."""

SAME_CUT_DEG = 0.3  # antennas hold an elevation to about 0.2 degrees, and cuts differ by at least 0.4


def read_scan(path: Path, sweep: int, site: str | None) -> Scan:
    """The wanted sweep of the file: LOWEST, or an elevation number counted from 1.

    `site` names the radar (four letters) where the file doesn't.
    Raises UnreadableInput, NoReflectivity, or BadArguments when the file has no such sweep or an unknown site.
    """
    content = _decompressed(_read(path), path)
    if content.startswith((b"AR2V", b"ARCHIVE2")):
        return _decoded(path, lambda: _read_level2(content, sweep, site))
    if b"SDUS" in content[:256]:
        return _decoded(path, lambda: _read_level3(content, sweep))
    raise UnreadableInput(
        f"{path.name} is not a NEXRAD file: it is neither a Level II archive nor a Level III product."
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableInput(f"Cannot read {path}: {error.strerror or error}.") from error


def _decompressed(content: bytes, path: Path) -> bytes:
    if content.startswith(b"BZh"):
        return _unpacked(bz2.BZ2File(io.BytesIO(content)), path)
    if content.startswith(b"\x1f\x8b"):
        return _unpacked(gzip.GzipFile(fileobj=io.BytesIO(content)), path)
    return content


def _unpacked(stream: io.BufferedIOBase, path: Path) -> bytes:
    try:
        content = stream.read(LARGEST_VOLUME_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableInput(f"{path.name} is compressed, but damaged: {error}.") from error
    if len(content) > LARGEST_VOLUME_BYTES:
        raise UnreadableInput(
            f"{path.name} unpacks to more than {LARGEST_VOLUME_BYTES >> 20} MiB; no NEXRAD file does."
        )
    return content


def _decoded(path: Path, decode: Callable[[], Scan]) -> Scan:
    """What `decode` gives. Py-ART raises whatever it stumbles over in a damaged file (struct.error, IndexError,
    AssertionError, ValueError, KeyError and more), so every exception but our own means: damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode()
    except (NoReflectivity, BadArguments, MemoryError):
        raise
    except Exception as error:
        detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UnreadableInput(f"{path.name} begins like a NEXRAD file, but cannot be decoded ({detail}).") from error


def _read_level3(content: bytes, sweep: int) -> Scan:
    code = struct.unpack_from(">h", content, content.index(b"SDUS") + 30)[0]
    if code not in REFLECTIVITY_PRODUCTS:
        known = ", ".join(map(str, REFLECTIVITY_PRODUCTS))
        raise NoReflectivity(
            f"Level III product {code} has no reflectivity that can be read here; these have: {known}."
        )
    if sweep > 1:
        raise BadArguments(f"There is no sweep {sweep}: a Level III product has only one.")
    file = _pyart("nexrad_level3").NEXRADLevel3File(io.BytesIO(content))
    latitude_deg, longitude_deg, _ = file.get_location()
    widths_deg = np.array([radial["angle_delta"] for radial in file.radial_headers]) * 0.1
    # Unlike a Level II archive, a product says where each ray and gate begins, not where its middle is.
    starts_km = np.asarray(file.get_range(), dtype=np.float64) / 1000
    gate_length_km = float(starts_km[1] - starts_km[0])
    return Scan(
        site=_site_of_product(bytes(file.text_header)),
        longitude_deg=float(longitude_deg),
        latitude_deg=float(latitude_deg),
        product=f"Level III product {code}, {REFLECTIVITY_PRODUCTS[code]}",
        volume_scan_at=file.get_volume_start_datetime().replace(tzinfo=UTC),
        elevation_deg=float(file.get_elevation()),
        azimuths_deg=(np.asarray(file.get_azimuth(), dtype=np.float64) + widths_deg / 2) % 360,
        ray_width_deg=float(np.median(widths_deg)),
        slant_ranges_km=starts_km + gate_length_km / 2,
        gate_length_km=gate_length_km,
        dbz=file.get_data(),
    )


def _read_level2(content: bytes, sweep: int, site: str | None) -> Scan:
    file = _pyart("nexrad_level2").NEXRADLevel2File(io.BytesIO(content))
    first_rays = {
        number: file.radial_records[rays[0]] for number, rays in enumerate(file.scan_msgs, start=1) if len(rays)
    }
    elevations_deg = {
        number: _middle(file.get_elevation_angles([number - 1])) for number, ray in first_rays.items() if "REF" in ray
    }
    number = _chosen_sweep(elevations_deg, sweep)
    moment = first_rays[number]["REF"]
    header = file.volume_header
    site = _letters(header["icao"]) or site or ""
    latitude_deg, longitude_deg = _location(file, site)
    gate_length_km = moment["gate_spacing"] / 1000
    ranges_km: Floats = moment["first_gate"] / 1000 + gate_length_km * np.arange(moment["ngates"], dtype=np.float64)
    azimuths_deg = np.asarray(file.get_azimuth_angles([number - 1]), dtype=np.float64) % 360
    steps_deg = (np.diff(azimuths_deg) + 180) % 360 - 180
    ray_width_deg = 0.5 if _middle(steps_deg) < 0.75 else 1.0
    once_round = np.append(0.0, np.cumsum(steps_deg)) < 360 - ray_width_deg / 2  # the rest would count echoes twice
    ahead = ranges_km > 0  # in old archives the first gates lie at or behind the antenna
    return Scan(
        site=site or "unknown",
        longitude_deg=longitude_deg,
        latitude_deg=latitude_deg,
        product=f"Level II reflectivity, elevation number {number}",
        volume_scan_at=datetime(1970, 1, 1, tzinfo=UTC)
        + timedelta(days=header["date"] - 1, seconds=header["time"] // 1000),
        elevation_deg=round(elevations_deg[number], 2),
        azimuths_deg=azimuths_deg[once_round],
        ray_width_deg=ray_width_deg,
        slant_ranges_km=ranges_km[ahead],
        gate_length_km=gate_length_km,
        dbz=file.get_data("REF", moment["ngates"], scans=[number - 1])[once_round][:, ahead],
    )


def _chosen_sweep(elevations_deg: dict[int, float], sweep: int) -> int:
    """The number of the wanted sweep; for LOWEST the first of those at the lowest elevation, which is the one made
    for reflectivity where a radar looks twice at the same elevation."""
    if not elevations_deg:
        raise NoReflectivity("This Level II archive has no sweep with reflectivity.")
    if sweep == LOWEST:
        lowest_deg = min(elevations_deg.values())
        return next(number for number, deg in elevations_deg.items() if deg < lowest_deg + SAME_CUT_DEG)
    if sweep not in elevations_deg:
        there = ", ".join(map(str, elevations_deg))
        raise BadArguments(f"There is no sweep {sweep} with reflectivity in this archive; there are: {there}.")
    return sweep


def _location(file: object, site: str) -> tuple[float, float]:
    """Latitude and longitude of the radar in degrees: from the archive, or where it is too old to say, by site."""
    latitude_deg, longitude_deg, _ = cast(tuple[float, float, float], file.location())  # type: ignore[attr-defined]
    if (latitude_deg, longitude_deg) != (0.0, 0.0):
        return float(latitude_deg), float(longitude_deg)
    if not site:
        raise BadArguments("This old archive doesn't say which radar made it: name the radar with --site.")
    station = _stations().get(site)
    if station is None:
        raise BadArguments(f"The radar {site} is not in the list of NEXRAD stations.")
    return station["lat"], station["lon"]


def _site_of_product(text_header: bytes) -> str:
    """The radar's four letters. A product's heading ends in its three-letter name ("N0RBMX")."""
    name = _letters(text_header.split()[-1][3:]) if text_header.split() else ""
    return next((site for site in _stations() if name and site[1:] == name), name) or "unknown"


def _letters(text: bytes) -> str:
    return re.sub(r"[^A-Z0-9]", "", text.decode("ascii", "ignore").upper())


def _middle(values: Floats) -> float:
    return float(np.median(values))


def _stations() -> dict[str, dict[str, float]]:
    return cast(dict[str, dict[str, float]], _pyart("nexrad_common").NEXRAD_LOCATIONS)


@cache
def _pyart(module: str) -> ModuleType:
    package = importlib.util.find_spec("pyart")  # finds it without importing it
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("Py-ART (arm-pyart) is not installed.")
    path = Path(package.submodule_search_locations[0]) / "io" / f"{module}.py"
    spec = importlib.util.spec_from_file_location(f"storm_clustering._pyart_{module}", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"Py-ART has no {path.name}.")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
