"""What a user gets, tested."""
