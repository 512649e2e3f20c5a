"""How the models of OsteoMAP are made; nothing here is imported by the application."""

import warnings

# MONAI imports the App SDK, where it is installed, and so Holoscan, which warns of a limit that trainings do not need.
warnings.filterwarnings("ignore", message="Current stack size", category=RuntimeWarning)
