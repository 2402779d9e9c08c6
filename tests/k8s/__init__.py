"""Tests against a real Kubernetes: `make test-k8s`."""
