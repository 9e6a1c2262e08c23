"""One serializer module a noun: which fields a row shows and which a client may write."""
