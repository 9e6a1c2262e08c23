"""The lane: the one face that serves calls to models, as a plain ASGI application without the ORM."""
