"""A map picture of a sweep's reflectivity with the storms drawn into it.

Matplotlib draws without a display, and without pyplot, whose import takes longer than the drawing. It is imported in
here only, when a picture is wanted.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from storm_clustering.scan import Scan, sweep_mesh, to_longitude_latitude
from storm_clustering.storms import Search, Storm

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.figure import Figure

LEVELS_DBZ = np.arange(0, 80, 5)
PALETTE_RANGE_DBZ = (-10.0, 80.0)  # what the palette's two ends were designed for
ROWS_IN_TABLE = 16
LEAST_VIEW_KM = 100.0
PANEL = 0.745  # where the column beside the map begins, as a share of the figure's width
INK, FAINT, GROUND, RULE = "#1b2430", "#5d6875", "#f4f3ef", "#c9c9c3"


def png(scan: Scan, search: Search, storms: Sequence[Storm]) -> bytes:
    """The picture as a PNG file, 1950 by 1500 pixels."""
    # Where the home directory is read-only, matplotlib keeps its cache in a temporary one and says so; that is fine.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    view_km = _view_km(scan)
    with rc_context({"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK, "axes.edgecolor": FAINT}):
        figure = Figure(figsize=(13, 10), dpi=150, facecolor="white")
        FigureCanvasAgg(figure)
        chart = figure.add_axes((0.065, 0.07, 0.63, 0.82))
        _draw_echoes(figure, chart, scan, search)
        _draw_rings(chart, scan, view_km)
        _draw_storms(chart, storms)
        _draw_frame(figure, chart, scan, view_km)
        _draw_table(figure, search, storms)
        _draw_key(figure)
        content = io.BytesIO()
        figure.savefig(content, format="png")
    return content.getvalue()


def _view_km(scan: Scan) -> float:
    """How far from the radar the map goes: a little beyond the farthest echo that has a colour."""
    _, gates = np.nonzero(np.ma.filled(scan.dbz >= LEVELS_DBZ[0], False))
    farthest_km = scan.slant_ranges_km[gates.max()] if len(gates) else scan.slant_ranges_km[-1]
    return max(LEAST_VIEW_KM, 1.04 * float(farthest_km))


def _palette() -> tuple[ListedColormap, BoundaryNorm]:
    """Steps of 5 dBZ in the usual order of hues, but told apart by those who don't see red or green as well."""
    import cmweather  # noqa: F401  (makes its palettes known to matplotlib)
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap

    least, most = PALETTE_RANGE_DBZ
    shares = (LEVELS_DBZ[:-1] + 2.5 - least) / (most - least)
    palette = ListedColormap(colormaps["ChaseSpectral"](shares))
    return palette, BoundaryNorm(LEVELS_DBZ, palette.N)


def _draw_echoes(figure: Figure, chart: Axes, scan: Scan, search: Search) -> None:
    palette, norm = _palette()
    longitude_deg, latitude_deg, dbz = sweep_mesh(scan)
    shown = np.ma.masked_less(dbz, LEVELS_DBZ[0])
    chart.set_facecolor(GROUND)
    echoes = chart.pcolormesh(longitude_deg, latitude_deg, shown, cmap=palette, norm=norm, rasterized=True)
    scale = figure.add_axes((PANEL, 0.105, 0.215, 0.018))
    bar = figure.colorbar(echoes, cax=scale, orientation="horizontal", ticks=LEVELS_DBZ[::3])
    bar.set_label("Reflectivity (dBZ)", color=FAINT)
    bar.outline.set_edgecolor(FAINT)
    scale.plot(
        search.threshold_dbz,
        1.35,
        marker="v",
        markersize=7,
        color=INK,
        clip_on=False,
        transform=scale.get_xaxis_transform(),
    )


def _draw_rings(chart: Axes, scan: Scan, view_km: float) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground="white", alpha=0.85)]
    step_km = 25 if view_km < 120 else 50 if view_km < 320 else 100
    around = np.radians(np.linspace(0, 360, 361))
    for radius_km in np.arange(step_km, view_km, step_km):
        ring = to_longitude_latitude(scan, radius_km * np.sin(around), radius_km * np.cos(around))
        chart.plot(*ring, color=INK, linewidth=0.7, linestyle=(0, (5, 4)), alpha=0.55, zorder=3)
        chart.text(
            ring[0][45],
            ring[1][45],
            f"{radius_km:g} km",
            fontsize=8,
            ha="center",
            va="center",
            path_effects=halo,
            zorder=6,
        )
    chart.plot(scan.longitude_deg, scan.latitude_deg, marker="^", markersize=9, color=INK, mec="white", zorder=6)
    chart.annotate(
        scan.site,
        (scan.longitude_deg, scan.latitude_deg),
        xytext=(8, 6),
        textcoords="offset points",
        fontweight="bold",
        path_effects=halo,
        zorder=6,
    )


def _draw_storms(chart: Axes, storms: Sequence[Storm]) -> None:
    from matplotlib.patheffects import withStroke

    for storm in storms:
        outline = np.array(storm.outline)
        chart.plot(
            *outline.T,
            color=INK,
            linewidth=1.4,
            solid_joinstyle="round",
            path_effects=[withStroke(linewidth=3.6, foreground="white")],
            zorder=4,
        )
    for storm in reversed(storms[:ROWS_IN_TABLE]):  # the strongest on top
        outline = np.array(storm.outline)
        top = outline[outline[:, 1].argmax()]
        chart.annotate(
            str(storm.id),
            top,
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            color="white",
            bbox={"boxstyle": "circle,pad=0.22", "facecolor": INK, "edgecolor": "white", "linewidth": 1.2},
            zorder=7,
        )


def _draw_frame(figure: Figure, chart: Axes, scan: Scan, view_km: float) -> None:
    corner_km = np.array([-1.0, 1.0]) * view_km
    still = np.zeros(2)
    chart.set_xlim(*to_longitude_latitude(scan, corner_km, still)[0])
    chart.set_ylim(*to_longitude_latitude(scan, still, corner_km)[1])
    chart.set_aspect(1 / np.cos(np.radians(scan.latitude_deg)), anchor="NW")
    chart.grid(color=RULE, linewidth=0.6, zorder=0)
    chart.set_axisbelow(True)
    chart.xaxis.set_major_formatter(lambda value, _: _degrees(value, "E", "W"))
    chart.yaxis.set_major_formatter(lambda value, _: _degrees(value, "N", "S"))
    chart.tick_params(colors=FAINT, labelcolor=INK)
    chart.set_xlabel("Longitude", color=FAINT)
    chart.set_ylabel("Latitude", color=FAINT)
    figure.text(0.065, 0.95, f"Storms seen by {scan.site}", fontsize=20, fontweight="bold", va="center")
    figure.text(
        0.065,
        0.915,
        f"{scan.volume_scan_at:%Y-%m-%d %H:%M:%S} UTC   ·   {scan.product}   ·   elevation {scan.elevation_deg:.1f}°",
        fontsize=11,
        color=FAINT,
        va="center",
    )


def _draw_table(figure: Figure, search: Search, storms: Sequence[Storm]) -> None:
    top, line = 0.872, 0.026
    figure.text(PANEL, top, _counted(len(storms)), fontsize=15, fontweight="bold")
    asked = f"echoes of {search.threshold_dbz:g} dBZ or more, within {search.eps_km:g} km"
    figure.text(PANEL, top - line, asked, fontsize=9, color=FAINT)
    if not storms:
        return
    _draw_row(figure, top - 2.5 * line, ("no.", "max dBZ", "mean dBZ", "area km²"), fontsize=9, color=FAINT)
    for number, storm in enumerate(storms[:ROWS_IN_TABLE]):
        row = (f"{storm.id}", f"{storm.max_dbz:.1f}", f"{storm.mean_dbz:.1f}", f"{storm.area_km2:,.0f}")
        _draw_row(figure, top - (3.6 + number) * line, row, fontsize=10.5)
    if len(storms) > ROWS_IN_TABLE:
        more = f"and {len(storms) - ROWS_IN_TABLE} more, in summary.json"
        figure.text(PANEL, top - (3.6 + ROWS_IN_TABLE) * line, more, fontsize=9, color=FAINT)


def _draw_row(figure: Figure, y: float, texts: Sequence[str], fontsize: float, color: str = INK) -> None:
    for right, text in zip((0.022, 0.087, 0.152, 0.215), texts, strict=True):
        figure.text(PANEL + right, y, text, ha="right", fontsize=fontsize, color=color)


def _draw_key(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3.6, foreground="white")]
    signs = [
        Line2D([], [], color=INK, linewidth=1.4, path_effects=halo, label="storm, number as in the table"),
        Line2D([], [], color=INK, linewidth=0.7, linestyle=(0, (5, 4)), label="distance from the radar"),
        Line2D([], [], color=INK, marker="^", markersize=9, mec="white", linestyle="", label="radar"),
        Line2D([], [], color=INK, marker="v", markersize=7, linestyle="", label="weakest echo counted, on the scale"),
    ]
    figure.legend(
        handles=signs, loc="lower left", bbox_to_anchor=(PANEL, 0.155), frameon=False, borderpad=0, fontsize=9
    )


def _counted(storms: int) -> str:
    return "no storms" if storms == 0 else "1 storm" if storms == 1 else f"{storms} storms"


def _degrees(value: float, positive: str, negative: str) -> str:
    return f"{abs(value):g}°{positive if value > 0 else negative if value < 0 else ''}"
