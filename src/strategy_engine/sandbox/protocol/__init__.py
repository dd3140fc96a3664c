"""What engine and child say to each other, and how it is framed."""
