"""Meta-World's tasks: the package's own environments give physics, observation and reward."""
