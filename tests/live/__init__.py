"""Tests against a real model server, llama.cpp with a tiny random model: `make test-live`."""
