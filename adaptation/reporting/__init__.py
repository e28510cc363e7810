"""Statistics, figures, progress, the HTML report and its 3-D playback."""
