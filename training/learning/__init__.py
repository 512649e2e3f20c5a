"""What learns, from what it starts, and what is saved: losses, teachers, checkpoints, weights of a bundle."""
