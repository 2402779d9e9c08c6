"""Sources for tests: small real-looking ones as files under languages/, hostile ones as generators."""
