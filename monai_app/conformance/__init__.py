"""The DICOM conformance statement, generated: ``python -m monai_app.conformance > docs/conformance.md``."""
