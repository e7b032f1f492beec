"""The contenders, one file each. Each runs as ``python -m benchmarks.designs.NAME`` and listens on ``PORT``."""
