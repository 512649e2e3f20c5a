"""What an image was ordered for, and under which further identities: procedures, requests, clinical trials."""
