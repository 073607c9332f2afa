"""A real Kubernetes cluster for tests and development, see docs/development-cluster.md."""
