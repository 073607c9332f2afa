"""Backup: one Job that writes it, one that proves it."""
