"""Owns the admin's pages. Everything here is for administrators; no secret reaches a page.

`CredentialSecret` is left out on purpose: nothing lists the table of ciphertexts.
"""
