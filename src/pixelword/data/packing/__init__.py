"""Packing: sample order, row budgets, best fit, and the plan that assigns samples to packs."""
