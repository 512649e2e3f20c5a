"""What weights are: where they come from, and how a bundle or a checkpoint of them is opened to be evaluated."""
