"""From the policy to the joints: the servo process, its watchdog, recorder and drivers."""
