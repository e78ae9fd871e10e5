"""Tasks drawn on the fly: pictures made by a few lines of code, with questions whose answers are known."""
