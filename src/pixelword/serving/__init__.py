"""Answering over HTTP, as OpenAI's clients expect it; see `app`."""
