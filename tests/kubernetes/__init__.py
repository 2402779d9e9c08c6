"""A real Kubernetes for tests: programs built from Go modules, helm and kubectl, clusters, and images from local files.

`cluster.control_plane` is an API server with its controllers and nodes that only claim to run; `cluster.real_node` runs
containers. The shell scripts beside this file do the work.
"""
