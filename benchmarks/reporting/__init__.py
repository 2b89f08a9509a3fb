"""A comparison as a page that opens offline, and its figures as pictures."""
