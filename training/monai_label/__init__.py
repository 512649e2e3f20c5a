"""A MONAI Label app: the bundles behind MONAI Label's server, and corrected outlines back as training data."""
