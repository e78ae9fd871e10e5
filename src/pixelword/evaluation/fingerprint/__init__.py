"""Fingerprint of a checkpoint: a report to compare across machines."""
