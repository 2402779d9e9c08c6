"""nearcode beside other tools for finding code: quality, seconds to index, milliseconds to ask, memory, disk."""
