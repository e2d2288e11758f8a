"""Clusters to try things on, on this machine: docs/how-to/lab.md."""
