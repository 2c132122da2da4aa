"""Saved models on disk, opened: one file a format, told apart by content."""
