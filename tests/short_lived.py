"""A call whose process ends without a word; imports nothing, so that it starts at once."""

import os


class ShortLived:
    """Has the face of `sharding.shard_call.ShardCall`, of one part."""

    n = 1

    def __call__(self, i):
        os._exit(9)
