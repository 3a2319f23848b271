"""A simulated year of many applications through the product (`python -m bench.year`)."""
