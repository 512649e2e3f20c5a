"""From image records to the batches that a trainer takes: reading, caching, sampling, augmentation, prompts."""
