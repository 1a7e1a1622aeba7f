"""Name and version of the detector whose scans are current: the crawler writes it, a check compares scans with it."""

DETECTOR = "swindex 0.1.0"
