"""How good a classifier is: metrics with intervals, calibration, tables, figures, one page."""
