"""Owns what a call used and cost: pricing, the journal, the recorder and the roll-ups."""
