"""Measures the operator beside a no-op operator on one real API server: `python -m tests.bench --help`."""
