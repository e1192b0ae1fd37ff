"""Ray Data and Apache Beam pipelines: they adapt the core to engines and storage."""
