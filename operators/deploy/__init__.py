"""The operators of MONAI Deploy; nothing else meets Holoscan."""
