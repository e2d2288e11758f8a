"""What the program writes for real radar files."""

import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path

from program_runs import Run, run
from pyproj import Geod
from shapely.geometry import Point, shape

KML = {"k": "http://www.opengis.net/kml/2.2"}
REACH_KM = {"KBMX": 231.0, "KATX": 461.0}


def kml_positions(text: str | None) -> list[list[float]]:
    assert text is not None
    return [[float(number) for number in place.split(",")] for place in text.split()]


def test_the_rain_over_alabama_holds_four_storms(alabama_run: Run) -> None:
    summary = alabama_run.read("summary.json")
    assert alabama_run.code == 0
    assert summary["radar_site"] == "KBMX"
    assert summary["volume_scan_time"] == "2015-01-02T02:05:28Z"
    assert summary["threshold_dbz"] == 40.0
    assert summary["gates_read"] == 360 * 230
    assert summary["gates_at_or_above_threshold"] == 475
    assert summary["number_of_storms"] == 4
    assert summary["storms"][0]["max_dbz"] == 45.0


def test_the_archive_from_seattle_is_named_and_dated_by_its_header(seattle_run: Run) -> None:
    summary = seattle_run.read("summary.json")
    assert (summary["radar_site"], summary["volume_scan_time"]) == ("KATX", "2013-07-17T19:50:24Z")
    assert summary["number_of_storms"] > 0


def test_storms_are_listed_strongest_first_and_numbered_from_one(any_run: Run) -> None:
    storms = any_run.read("summary.json")["storms"]
    assert [storm["id"] for storm in storms] == list(range(1, len(storms) + 1))
    assert [storm["max_dbz"] for storm in storms] == sorted((storm["max_dbz"] for storm in storms), reverse=True)


def test_every_feature_is_a_valid_closed_counterclockwise_polygon(any_run: Run) -> None:
    collection = any_run.read("storms.geojson")
    assert collection["type"] == "FeatureCollection"
    assert len(collection["features"]) == any_run.read("summary.json")["number_of_storms"]
    for feature in collection["features"]:
        assert feature["type"] == "Feature"
        (ring,) = feature["geometry"]["coordinates"]
        assert len(ring) >= 4
        assert ring[0] == ring[-1]
        polygon = shape(feature["geometry"])
        assert polygon.is_valid
        assert polygon.exterior.is_ccw


def test_every_outline_lies_within_the_reach_of_the_radar(any_run: Run) -> None:
    summary = any_run.read("summary.json")
    geod = Geod(ellps="WGS84")
    for feature in any_run.read("storms.geojson")["features"]:
        for longitude, latitude in feature["geometry"]["coordinates"][0]:
            _, _, metres = geod.inv(summary["radar_longitude"], summary["radar_latitude"], longitude, latitude)
            assert metres / 1000 <= REACH_KM[summary["radar_site"]]


def test_an_outline_holds_about_the_area_of_the_storm_or_more(any_run: Run) -> None:
    geod = Geod(ellps="WGS84")
    for feature in any_run.read("storms.geojson")["features"]:
        square_metres, _ = geod.geometry_area_perimeter(shape(feature["geometry"]))
        assert square_metres / 1e6 > 0.95 * feature["properties"]["area_km2"]


def test_features_carry_the_facts_of_the_summary_and_where_they_come_from(any_run: Run) -> None:
    summary = any_run.read("summary.json")
    for feature, storm in zip(any_run.read("storms.geojson")["features"], summary["storms"], strict=True):
        source = {"volume_scan_time": summary["volume_scan_time"], "radar_site": summary["radar_site"]}
        assert feature["properties"] == storm | source
        assert feature["id"] == storm["id"]


def test_the_kml_places_every_storm_where_the_geojson_does(any_run: Run) -> None:
    features = any_run.read("storms.geojson")["features"]
    placemarks = ET.parse(any_run.out / "storms.kml").findall(".//k:Folder/k:Placemark", KML)
    assert len(placemarks) == len(features)
    for placemark, feature in zip(placemarks, features, strict=True):
        properties = feature["properties"]
        ring = kml_positions(placemark.findtext(".//k:LinearRing/k:coordinates", namespaces=KML))
        point = kml_positions(placemark.findtext(".//k:Point/k:coordinates", namespaces=KML))
        assert ring == feature["geometry"]["coordinates"][0]
        assert point == [[properties["centroid_longitude"], properties["centroid_latitude"]]]
        assert placemark.findtext("k:TimeStamp/k:when", namespaces=KML) == properties["volume_scan_time"]


def test_every_style_a_kml_placemark_names_is_there(any_run: Run) -> None:
    root = ET.parse(any_run.out / "storms.kml")
    styles = {f"#{style.get('id')}" for style in root.findall(".//k:Style", KML)}
    used = {element.text for element in root.findall(".//k:styleUrl", KML)}
    assert used
    assert used <= styles


def test_the_picture_is_a_png_of_1950_by_1500_pixels(any_run: Run) -> None:
    content = (any_run.out / "reflectivity.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", content[16:24]) == (1950, 1500)


def test_only_the_four_results_are_left_in_the_directory(any_run: Run) -> None:
    assert {path.name for path in any_run.out.iterdir()} == {
        "storms.geojson",
        "storms.kml",
        "summary.json",
        "reflectivity.png",
    }


def test_the_same_input_gives_the_same_bytes(alabama_run: Run, alabama: Path, tmp_path: Path) -> None:
    again = run(alabama, out=tmp_path, PYTHONHASHSEED="7", TZ="Asia/Tokyo")
    for name in ("storms.geojson", "storms.kml", "summary.json"):
        assert (again.out / name).read_bytes() == (alabama_run.out / name).read_bytes()


def test_a_centroid_lies_within_the_box_around_its_outline(any_run: Run) -> None:
    for feature in any_run.read("storms.geojson")["features"]:
        properties = feature["properties"]
        box = shape(feature["geometry"]).envelope
        assert box.contains(Point(properties["centroid_longitude"], properties["centroid_latitude"]))


def test_progress_is_told_in_lines_that_a_regular_expression_reads(alabama_run: Run) -> None:
    lines = alabama_run.stdout.splitlines()
    assert all(re.fullmatch(r"stage [1-5]/5 [a-z ]+|progress [01]\.\d\d|storms \d+", line) for line in lines)
    shares = [float(line.split()[1]) for line in lines if line.startswith("progress ")]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert [line[6] for line in lines if line.startswith("stage ")] == list("12345")
    assert lines[-1] == "storms 4"
    assert alabama_run.stderr == ""
