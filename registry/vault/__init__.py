"""Owns encryption of stored secrets: the key ring and the encrypted field. Nothing else handles key material."""
