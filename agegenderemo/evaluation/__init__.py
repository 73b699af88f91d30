"""Measures networks: metrics, groups, calibration, plots. It fills what `agegenderemo.report`
prints."""
