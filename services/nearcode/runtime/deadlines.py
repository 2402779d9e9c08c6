"""Deadlines that a method's server and its callers share, where the default is too short."""

SYNC_SECONDS = 960.0
"""What callers give a Sync: it fetches, for ingestion.fetch_seconds at most, and tells how that went."""

DISCONNECT_SECONDS = 120.0
"""What callers give a Disconnect: points of a large repository take a while to go."""
