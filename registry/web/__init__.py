"""The pages for people who use the hub. They are clients of the lane and the API."""
