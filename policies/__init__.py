"""Meta-RL methods over shared parts, and the beliefs that they act under."""
