"""The required part of MONAI's meta_schema_20240725, which stands on a server and in no package."""

from __future__ import annotations

TEXT = {"type": "string", "minLength": 1}
WORDS = {"type": "object", "additionalProperties": TEXT, "minProperties": 1}
SCHEMA = {
    "type": "object",
    "required": [
        "version",
        "changelog",
        "monai_version",
        "pytorch_version",
        "numpy_version",
        "required_packages_version",
        "task",
        "description",
        "authors",
        "copyright",
        "network_data_format",
    ],
    "properties": {
        **{name: TEXT for name in ("version", "task", "description", "authors", "copyright", "intended_use")},
        **{name: WORDS for name in ("changelog", "required_packages_version")},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "additionalProperties": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
                },
            },
        },
    },
}
