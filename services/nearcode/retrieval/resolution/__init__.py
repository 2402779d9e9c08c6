"""Imports to files of the same repository, one resolver a family of languages. Pure: functions of paths and projects."""
