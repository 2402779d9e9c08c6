"""Repositories to revisions: read, compare, select files, and move the manifest when a revision is indexed."""
