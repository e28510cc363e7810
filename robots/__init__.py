"""What a robot is, for everyone: its numbers, its motion, its limits, and the nouns a world is described with."""
