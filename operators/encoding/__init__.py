"""From outlines to DICOM objects in memory."""
