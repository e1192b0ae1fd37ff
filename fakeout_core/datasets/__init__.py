"""Benchmark datasets: a registry kept as data, and one parser per directory layout."""
