"""The pytest plugin: gives any project a `db` fixture over the stores that it names."""
