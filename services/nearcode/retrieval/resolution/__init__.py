"""Imports to files of the same repository, one resolver for each family of languages. Pure: a function of paths and projects."""
