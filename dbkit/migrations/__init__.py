"""One history of schema and data over every store."""
