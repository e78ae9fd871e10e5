"""Generation: requests, the engine that answers them, and sessions for questions about images, videos and text."""
