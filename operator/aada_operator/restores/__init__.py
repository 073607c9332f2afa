"""Restore: a backup brought back beside the live database."""
