"""Training and evaluation put together: what makes `mini`, and what proves its parts."""
