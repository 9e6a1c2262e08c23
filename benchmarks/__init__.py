"""The comparison with other gateways, and what else only a measurement can tell. Run by `make bench`, on loopback."""
