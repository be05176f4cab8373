"""The trail: what a record is, how it is kept, and how it is read again."""
