"""How a process runs: gRPC servers and channels, error details, operations over HTTP, child processes."""
