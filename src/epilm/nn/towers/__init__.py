"""The 2-D networks behind `epilm.nn.region`: own windowed attention, T2T-ViT, the library's Swin,
ViT and DeiT.
"""
