"""Source files to outlines of chunks."""
