"""Images, how they are divided and seen, and the loaders over them."""
