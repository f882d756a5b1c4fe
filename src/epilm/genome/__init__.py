"""Biology's files as plain arrays and tables: numpy, pandas and bioframe, no torch.

Coordinates are 0-based and half-open from here on; other conventions end at these readers.
"""
