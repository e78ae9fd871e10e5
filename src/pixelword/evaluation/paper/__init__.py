"""The thirty benchmarks of the paper as data, run on local files, with published figures."""
