"""One view module a noun; thin: rows come through visible_to and editable_by, rules live in the models."""
