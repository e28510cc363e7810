"""Run folders: config, checkpoints, contracts, logs, and the records that jobs write into them."""
