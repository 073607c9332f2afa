"""Fills a database with realistic rows: `python -m sample_lms.generate --size 50MB`."""
