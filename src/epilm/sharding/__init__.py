"""Work that is done in parts: joined again, and spread over processes, here or elsewhere."""
