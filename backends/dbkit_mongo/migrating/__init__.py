"""Migrations on MongoDB: operations become steps that can be run again, and one migrator at a time runs them."""
