"""From boxes to outlines."""
