"""The benchmarks that papers report: thirty as data, asked from files that lie here, beside published figures."""
