"""Classifiers side by side: tests of their differences, an ensemble, published numbers."""
