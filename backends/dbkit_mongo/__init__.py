"""MongoDB for dbkit, by PyMongo's own clients; Motor for programs that still have it; mongomock for unit tests."""
