"""The command: arguments in, stage lines out, results in a directory, and an exit code that says how it ended."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from storm_clustering.arguments import Arguments, parse_arguments
from storm_clustering.failure import CannotWrite, Failure
from storm_clustering.nexrad import read_scan
from storm_clustering.picture import png
from storm_clustering.reports import geojson, kml, summary
from storm_clustering.scan import gates_at_or_above
from storm_clustering.storms import cluster, find_storms

STAGES = ("reading input", "selecting gates", "clustering gates", "outlining storms", "writing results")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code, once the run has ended; wrong arguments end the program instead."""
    arguments = parse_arguments(argv)
    try:
        _run(arguments)
    except Failure as failure:
        print(f"storm-clustering: {failure}", file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        print("storm-clustering: interrupted.", file=sys.stderr)
        return 130
    return 0


def _run(arguments: Arguments) -> None:
    search = arguments.search
    _stage(1)
    scan = read_scan(arguments.input, arguments.sweep, arguments.site)
    _progress(0.1)
    _stage(2)
    gates = gates_at_or_above(scan, search.threshold_dbz)
    _progress(0.2)
    _stage(3)
    labels = cluster(gates, search.eps_km, search.min_gates)
    _progress(0.6)
    _stage(4)
    storms = find_storms(scan, gates, labels, search)
    _progress(0.7)
    _stage(5)
    results = {
        "storms.geojson": geojson(scan, storms),
        "storms.kml": kml(scan, search, storms),
        "reflectivity.png": png(scan, search, storms),
        "summary.json": summary(scan, search, len(gates), storms),
    }
    _progress(0.9)
    _write(arguments.out, results)
    _progress(1.0)
    _say(f"storms {len(storms)}")


def _write(directory: Path, results: Mapping[str, bytes]) -> None:
    """Every result is in the directory, whole: all are written under other names first, then renamed in order."""
    parts = [directory / f".{name}.{os.getpid()}.part" for name in results]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for part, content in zip(parts, results.values(), strict=True):
            _write_through(part, content)
        for part, name in zip(parts, results, strict=True):
            part.replace(directory / name)
    except OSError as error:
        raise CannotWrite(f"Cannot write the results into {directory}: {error.strerror or error}.") from error
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _stage(number: int) -> None:
    _say(f"stage {number}/{len(STAGES)} {STAGES[number - 1]}")


def _progress(share: float) -> None:
    _say(f"progress {share:.2f}")


def _say(line: str) -> None:
    print(line, flush=True)
