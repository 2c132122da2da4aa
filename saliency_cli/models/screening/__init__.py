"""Reading a model for danger, in a process of its own, before anything of it is loaded."""
