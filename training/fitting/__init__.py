"""What is fitted on ``val`` after a training: calibration, operating points, how boxes are cut from the map."""
