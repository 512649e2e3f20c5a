"""``app.yaml`` -> frozen settings; the one place that reads it and the environment."""

from monai_app.settings.configuration_file import CONFIG_VARIABLE, ROOT, embedded_models, read_settings
from monai_app.settings.limits import SettingsError
from monai_app.settings.sections import Settings

__all__ = ["CONFIG_VARIABLE", "ROOT", "Settings", "SettingsError", "embedded_models", "read_settings"]
