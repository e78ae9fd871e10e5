"""Ablations: variants of the network, of its start and of its stages, trained alike, several seeds, side by side."""
