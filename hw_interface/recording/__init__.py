"""Recordings of an arm in MCAP."""
