"""What of an image can be relied on: what its header contradicts, how the picture stands, where it was exposed."""
