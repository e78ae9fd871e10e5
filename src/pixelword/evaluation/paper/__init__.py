"""The benchmarks that papers report: thirty as data, read from local files, beside published figures."""
