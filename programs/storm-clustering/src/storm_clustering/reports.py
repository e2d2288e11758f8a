"""The found storms as text for other programs: GeoJSON, KML and a summary. The same scan gives the same bytes."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict

from storm_clustering.scan import Scan
from storm_clustering.storms import Position, Search, Storm

KML_NAMESPACE = "http://www.opengis.net/kml/2.2"

# KML writes colours as opacity, blue, green, red. Lightness falls as storms get stronger, so the classes can be told
# apart without seeing hues.
KML_COLOURS = ((-999.0, "00d7ff"), (45.0, "0099ff"), (50.0, "2b4ee8"), (55.0, "1c1cb4"), (60.0, "7a0f7a"))


def utc_text(scan: Scan) -> str:
    """The scan's time as RFC 3339 in UTC, to the second."""
    return scan.volume_scan_at.strftime("%Y-%m-%dT%H:%M:%SZ")


def geojson(scan: Scan, storms: Sequence[Storm]) -> bytes:
    """An RFC 7946 FeatureCollection with one polygon a storm."""
    features = [
        {
            "type": "Feature",
            "id": storm.id,
            "geometry": {"type": "Polygon", "coordinates": [storm.outline]},
            "properties": _facts(storm) | {"volume_scan_time": utc_text(scan), "radar_site": scan.site},
        }
        for storm in storms
    ]
    return _json({"type": "FeatureCollection", "features": features})


def summary(scan: Scan, search: Search, gates_at_or_above_threshold: int, storms: Sequence[Storm]) -> bytes:
    """What was read, what was asked and what was found, as one JSON object."""
    return _json(
        {
            "radar_site": scan.site,
            "radar_longitude": round(scan.longitude_deg, 5),
            "radar_latitude": round(scan.latitude_deg, 5),
            "product": scan.product,
            "volume_scan_time": utc_text(scan),
            "elevation_deg": scan.elevation_deg,
            "threshold_dbz": search.threshold_dbz,
            "parameters": asdict(search),
            "gates_read": int(scan.dbz.size),
            "gates_with_echo": int(scan.dbz.count()),
            "gates_at_or_above_threshold": gates_at_or_above_threshold,
            "number_of_storms": len(storms),
            "storms": [_facts(storm) for storm in storms],
        }
    )


def kml(scan: Scan, search: Search, storms: Sequence[Storm]) -> bytes:
    """A KML 2.2 document: a styled outline and a point at the centroid for each storm, and the radar."""
    ET.register_namespace("", KML_NAMESPACE)
    root = ET.Element(f"{{{KML_NAMESPACE}}}kml")
    document = _add(root, "Document")
    _add(document, "name", f"Storms seen by {scan.site}, {utc_text(scan)}")
    _add(document, "open", "1")
    _add(document, "description", f"{len(storms)} storms at {search.threshold_dbz:g} dBZ or more. {scan.product}.")
    for lowest_dbz, colour in KML_COLOURS:
        _add_style(document, _style(lowest_dbz), colour)
    folder = _add(document, "Folder")
    _add(folder, "name", "Storms")
    for storm in storms:
        _add_storm(folder, scan, storm)
    radar = _add(document, "Placemark")
    _add(radar, "name", f"Radar {scan.site}")
    _add_point(radar, (round(scan.longitude_deg, 5), round(scan.latitude_deg, 5)))
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + bytes(ET.tostring(root, encoding="utf-8")) + b"\n"


def _add_storm(folder: ET.Element, scan: Scan, storm: Storm) -> None:
    placemark = _add(folder, "Placemark", id=f"storm-{storm.id}")
    _add(placemark, "name", f"Storm {storm.id}: {storm.max_dbz:g} dBZ")
    _add(
        placemark,
        "description",
        f"Strongest echo {storm.max_dbz:g} dBZ, mean {storm.mean_dbz:g} dBZ, area {storm.area_km2:g} km²,"
        f" {storm.gates} gates. Radar {scan.site}, {utc_text(scan)}.",
    )
    _add(_add(placemark, "TimeStamp"), "when", utc_text(scan))
    strongest_class = max(lowest_dbz for lowest_dbz, _ in KML_COLOURS if storm.max_dbz >= lowest_dbz)
    _add(placemark, "styleUrl", f"#{_style(strongest_class)}")
    shapes = _add(placemark, "MultiGeometry")
    _add_point(shapes, storm.centroid)
    polygon = _add(shapes, "Polygon")
    _add(polygon, "tessellate", "1")
    ring = _add(_add(polygon, "outerBoundaryIs"), "LinearRing")
    _add(ring, "coordinates", " ".join(map(_coordinates, storm.outline)))


def _add_style(document: ET.Element, name: str, colour: str) -> None:
    style = _add(document, "Style", id=name)
    _add(_add(style, "LabelStyle"), "scale", "0.9")
    line = _add(style, "LineStyle")
    _add(line, "color", f"ff{colour}")
    _add(line, "width", "2.5")
    _add(_add(style, "PolyStyle"), "color", f"66{colour}")


def _style(lowest_dbz: float) -> str:
    return f"from-{lowest_dbz:g}-dbz" if lowest_dbz > 0 else "weaker"


def _add_point(parent: ET.Element, position: Position) -> None:
    _add(_add(parent, "Point"), "coordinates", _coordinates(position))


def _coordinates(position: Position) -> str:
    return f"{position[0]:.5f},{position[1]:.5f}"


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, f"{{{KML_NAMESPACE}}}{tag}", attributes)
    element.text = text
    return element


def _facts(storm: Storm) -> dict[str, float | int]:
    return {
        "id": storm.id,
        "max_dbz": storm.max_dbz,
        "mean_dbz": storm.mean_dbz,
        "area_km2": storm.area_km2,
        "centroid_longitude": storm.centroid[0],
        "centroid_latitude": storm.centroid[1],
        "gates": storm.gates,
    }


def _json(content: dict[str, object]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
