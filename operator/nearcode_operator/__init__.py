"""The operator of nearcode on Kubernetes. It imports nearcode's contracts and runtime, and none of its services."""
