"""The playground: raw files of an invented genome, and the truth about it (`simulate`)."""
