"""A training as it runs: what it is going to do, how far it is, when it is validated and saved, where it goes on."""
