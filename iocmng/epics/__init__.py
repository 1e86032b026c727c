"""The only room that imports softioc, cothread and p4p."""
