"""dbkit_sql."""
