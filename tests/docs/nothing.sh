# The page begins with nothing.
