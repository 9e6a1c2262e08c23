"""The database records, one noun a file. Constraints and visibility live here, not in the views."""
