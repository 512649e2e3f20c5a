"""Published files -> files on disk: fetched piece by piece, checked against their published checksums."""
