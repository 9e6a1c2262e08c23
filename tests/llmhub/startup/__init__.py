"""Tests of what starts and ends the hub, by real processes."""
