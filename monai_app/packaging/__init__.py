"""The checkout -> the build context of a MONAI Application Package -> a container image."""
