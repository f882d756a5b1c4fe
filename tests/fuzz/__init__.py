"""Every parser against files that are not what they should be."""
