"""PNG and JPEG pictures, which have no DICOM header -> the Secondary Captures that they are analysed as."""
