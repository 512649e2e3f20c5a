"""What people and programs read beside the DICOM objects."""
