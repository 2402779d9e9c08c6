"""The words everybody uses, the ports between them and the six expected failures. Imports only the stdlib and numpy."""
