"""From the policy to the joints: control process, watchdog, recorder, drivers, trackers."""
