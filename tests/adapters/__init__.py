"""Tests of the ground floor: codecs replay bytes, nothing is mocked."""
