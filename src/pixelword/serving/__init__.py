"""OpenAI-compatible HTTP server; see `app`."""
