"""What default limits let through and what they stop: models changed in known ways, checked against the first."""
