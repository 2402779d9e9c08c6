"""A table of word vectors for source code, as data: `table.npy` and `words.txt`. MODEL_CARD.md says how it was made."""

__version__ = "1.0.0"
