"""The thin package behind the book: each module does one job that a chapter has shown before."""

__version__ = "0.1.0"


def setup():
    """Give figures the book's style, and say which versions and which device this notebook runs with."""
    import platform

    import diffusers
    import torch

    from helpers.plots import use_style

    use_style()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, diffusers {diffusers.__version__}"
    print(f"Running with {versions}, helpers {__version__}, on {device}")
