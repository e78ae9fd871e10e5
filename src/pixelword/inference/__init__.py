"""Asking a model: sessions that answer questions about pictures, videos and words."""
