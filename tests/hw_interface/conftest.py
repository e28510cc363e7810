"""Puts this folder on the path, so that its tests can use the arm in ``fake``."""
