"""Asset packs: packages are fetched, and what is in them becomes packs and pools."""
