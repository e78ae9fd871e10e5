"""Samples -> packed batches."""
