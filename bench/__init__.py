"""The measurements behind docs/measured.md; `scripts/bench` runs them. Nothing here is part of Isthmus."""
