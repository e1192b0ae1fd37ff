"""The ``fakeout`` command and what it submits."""
