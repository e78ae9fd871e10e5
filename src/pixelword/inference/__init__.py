"""Asking a model: sessions that answer questions about images, videos and words."""
