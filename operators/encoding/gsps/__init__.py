"""Segmentation -> presentation state of one image."""
