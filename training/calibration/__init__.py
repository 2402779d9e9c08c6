"""Learns how likely an answer is useful: generated questions on public packages -> retrieval/calibration.json."""
