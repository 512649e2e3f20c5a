"""What runs inside the container: its entry point, and the adapters to platforms that start it."""
