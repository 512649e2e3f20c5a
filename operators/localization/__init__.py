"""From features to an activation map, and from the map to boxes."""
