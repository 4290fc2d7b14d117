"""From the command line to a plain, checked configuration, and from a node of it to the object that it describes."""
