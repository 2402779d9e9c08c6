"""The bus port, the subjects of events and every stream and consumer on one screen."""
