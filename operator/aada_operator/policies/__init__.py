"""BackupPolicy: when backups and verifications are due, and what that achieves."""
