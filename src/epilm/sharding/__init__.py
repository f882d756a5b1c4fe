"""Work that is done in parts: joined again, and spread over the processes of this machine."""
