"""What a command does, without a terminal: request in, report out."""
