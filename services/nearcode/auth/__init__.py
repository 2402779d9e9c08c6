"""Who is calling. What an authenticator is, is said at the door (`runtime/door.py`)."""
