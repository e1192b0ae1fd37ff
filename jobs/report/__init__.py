"""The HTML report over a lake: one file, no scripts, nothing fetched from anywhere."""
