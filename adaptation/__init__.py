"""The loops that act, adapt, train and judge, and the command line; may import all packages."""
