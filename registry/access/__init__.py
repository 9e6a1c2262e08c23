"""Owns who may do what: tokens, principals, scopes and visibility. Used by the lane and the API alike."""
