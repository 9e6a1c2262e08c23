"""Tests of the configuration floor: environment, entry points, start-up."""
