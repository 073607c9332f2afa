"""SecretRotation: credentials replaced without a failed login, and the proof that the old one is dead."""
