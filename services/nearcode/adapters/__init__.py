"""One file per technology; the only importers of its client library."""
