"""What the commands do: train, evaluate, trial, deploy, emulate."""
