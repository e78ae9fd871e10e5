"""What images are drawn with: things, grounds, type, charts, pages, rooms."""
