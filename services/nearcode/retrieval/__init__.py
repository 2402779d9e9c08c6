"""Questions to ranked snippets."""
