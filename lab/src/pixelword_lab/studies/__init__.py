"""Studies: mini from packages to a packaged delta, and single choices on the way there."""
