"""The localization benchmark: how well maps, boxes and outlines meet the expert's marks."""
