"""Evaluation: one suite for every model."""
