"""What of a source is displayed with its pixels: overlays and shutters."""
