"""Benchmarks: each module prints one table of ratios measured in the same run."""
