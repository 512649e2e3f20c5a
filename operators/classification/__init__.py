"""From a radiograph to its probability and state."""
