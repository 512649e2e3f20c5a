"""From bytes to radiographs."""
