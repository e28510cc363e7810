"""The process that controls an arm: pacing, watchdog, shared memory."""
