"""The migration stores of SQLite and PostgreSQL."""
