"""The tables of the MONAI Application Package Specification, sections Application Manifest and Package Manifest."""

from __future__ import annotations

VERSION = {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"}
ABSOLUTE = {"type": "string", "pattern": "^/"}
MEMORY = {"type": "string", "pattern": r"^\d+(\.\d)?(Mi|Gi)$"}
FORMATS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
PROBE = {
    "type": "object",
    "required": ["type", "command"],
    "properties": {"type": {"const": "command"}, "command": {"type": "array", "items": {"type": "string"}}},
}
APPLICATION_MANIFEST = {
    "type": "object",
    "required": ["command", "input", "output", "type"],
    "properties": {
        "apiVersion": VERSION,
        "command": {"type": "string", "minLength": 1},
        "environment": {"type": "object", "additionalProperties": {"type": "string"}},
        "input": {
            "type": "object",
            "required": ["formats"],
            "properties": {"formats": FORMATS, "path": {"type": "string"}},
        },
        "output": {
            "type": "object",
            "required": ["format"],
            "properties": {"format": {"type": "object"}, "formats": FORMATS, "path": {"type": "string"}},
        },
        "readiness": PROBE,
        "liveness": PROBE,
        "sdk": {"type": "string"},
        "sdkVersion": VERSION,
        "timeout": {"type": "integer", "minimum": 0},
        "type": {"enum": ["service", "application"]},
        "version": VERSION,
        "workingDirectory": ABSOLUTE,
    },
}
PACKAGE_MANIFEST = {
    "type": "object",
    "required": ["applicationRoot"],
    "properties": {
        "apiVersion": VERSION,
        "applicationRoot": ABSOLUTE,
        "modelRoot": ABSOLUTE,
        "models": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "pattern": r"^\S+$", "maxLength": 128},
                    "path": {"type": "string"},
                    "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                },
            },
        },
        "resources": {
            "type": "object",
            "properties": {
                **dict.fromkeys(("cpu", "cpuLimit", "gpu", "gpuLimit"), {"type": "number", "minimum": 0}),
                **dict.fromkeys(("memory", "memoryLimit", "gpuMemory", "sharedMemory"), MEMORY),
            },
        },
        "version": VERSION,
    },
}
