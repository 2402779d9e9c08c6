"""Chunks to vectors to points; vectors for questions."""
