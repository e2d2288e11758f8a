"""Finds storms in a NEXRAD radar file: reads one sweep, clusters its strong echoes, writes what it found."""

__version__ = "1.0.0"
