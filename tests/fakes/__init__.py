"""Quick stand-ins for the two pieces of work, for tests of what is around them."""
