"""The TID 1500 structured report."""
