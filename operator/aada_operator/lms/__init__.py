"""The application: roles and Secret, schema, workloads."""
