"""The pixel data of a file: from its fragments to a decoded frame, with what each coding lets one check."""
