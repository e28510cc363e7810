"""The tasks of dm_control's suite: their bodies, hidden physics and targets, and their rewards."""
