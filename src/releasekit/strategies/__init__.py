"""Strategies: pure planners from what is observed to a release."""
