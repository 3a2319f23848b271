"""Simulations of drorch that are too long for a test suite."""
