"""What images are drawn with: objects, backgrounds, type, charts, pages, rooms."""
