"""Isthmus: a science gateway."""
