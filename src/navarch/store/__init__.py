"""Durable, revisioned keys and values. Only the API server holds a store."""
