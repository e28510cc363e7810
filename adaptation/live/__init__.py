"""The live page: what an arm does at this moment, in a browser on the same computer."""
