"""Why a model says what it says of a sequence: every explanation takes a function of sequences."""
