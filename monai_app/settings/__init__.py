"""``app.yaml`` -> frozen settings; the one place that reads it and the environment."""

from monai_app.settings.configuration_file import CONFIG_VARIABLE, ROOT, declared_memory, embedded_models, read_settings
from monai_app.settings.limits import SettingsError
from monai_app.settings.sections import Settings

__all__ = [
    "CONFIG_VARIABLE",
    "ROOT",
    "Settings",
    "SettingsError",
    "declared_memory",
    "embedded_models",
    "read_settings",
]
