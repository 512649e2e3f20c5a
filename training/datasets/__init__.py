"""Data sets on disk, in whatever form, as one list of image records; phantoms; images wrapped as DICOM."""
