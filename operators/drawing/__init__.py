"""Contours, layers and pictures of findings."""
