"""Kubernetes operator for the AADA LMS: declares backups, restores, schema and rollouts, and proves them."""

__version__ = "0.1.0"
