"""Statistics, figures, progress and the HTML report."""
