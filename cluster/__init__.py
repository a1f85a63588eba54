"""Where it runs: Ray, Tune, Optuna, TensorBoard, and what a person sees meanwhile."""
