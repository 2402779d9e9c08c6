"""nearcode: the engine that makes a code assistant know a company's private code."""
