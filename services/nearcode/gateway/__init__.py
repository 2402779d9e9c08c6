"""The edge that IDEs call: authenticate, resolve the workspace, split the deadline, retrieve, generate, stream."""
