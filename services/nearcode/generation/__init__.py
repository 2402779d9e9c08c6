"""Context and a request to a prompt to tokens."""
