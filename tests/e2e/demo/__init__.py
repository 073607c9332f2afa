"""The demo: from nothing to an LMS that is backed up, proved and restored, on a real cluster."""
