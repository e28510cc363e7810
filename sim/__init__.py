"""Simulation: engines, task families, disturbances, the twin, rendering."""
