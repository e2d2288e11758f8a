"""What the command line may ask for."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from storm_clustering import __version__
from storm_clustering.nexrad import LOWEST
from storm_clustering.storms import Search

EPILOG = """\
exit codes:
  0  done; no storm at all is a result too
  2  the arguments can't be understood, or ask for what the file doesn't have
  3  the input can't be read, is not a NEXRAD file, or is damaged
  4  the input is a NEXRAD file without reflectivity that can be read here
  5  the results can't be written

Progress goes to standard output, one line each: "stage 2/5 selecting gates", "progress 0.20", at the end "storms 4".
"""


@dataclass(frozen=True, slots=True)
class Arguments:
    input: Path
    out: Path
    sweep: int
    site: str | None
    search: Search


def parse_arguments(argv: Sequence[str] | None) -> Arguments:
    """The arguments, checked; ends the program with exit code 2 and a sentence where they are wrong."""
    given = _parser().parse_args(argv)
    search = Search(given.threshold_dbz, given.eps_km, given.min_gates, given.min_area_km2)
    return Arguments(given.input, given.out, given.sweep, given.site, search)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="storm-clustering",
        description="Finds storms in a NEXRAD file (Level II archive or Level III reflectivity product; plain, bz2 or\n"
        "gzip) and writes storms.geojson, storms.kml, reflectivity.png and summary.json.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("input", metavar="INPUT", type=Path, help="the NEXRAD file")
    add("--out", metavar="DIR", type=Path, required=True, help="where the results go; made if missing")
    add("--threshold-dbz", metavar="DBZ", type=_number(-30, 90), default=40.0, help="weakest echo counted (40)")
    add("--eps-km", metavar="KM", type=_number(0.1, 100), default=4.0, help="reach of a gate's neighbourhood (4)")
    add("--min-gates", metavar="N", type=_whole(1, 100_000), default=8, help="gates that make it dense (8)")
    add("--min-area-km2", metavar="KM2", type=_number(0, 1e6), default=10.0, help="smallest storm kept (10)")
    add(
        "--sweep",
        metavar="WHICH",
        type=_sweep,
        default=LOWEST,
        help='"lowest" (default), or an elevation number of a Level II archive, counted from 1',
    )
    add("--site", metavar="ICAO", type=_site, help="the radar, such as KLOT, for archives too old to name it")
    add("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:  # false for nan as well
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    return number


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least} and {most}")
        return value

    return whole_number


def _sweep(text: str) -> int:
    return LOWEST if text == "lowest" else _whole(1, 99)(text)


def _site(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{4}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a radar's name of four letters")
    return text.upper()
