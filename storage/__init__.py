"""Where it is kept: embeddings, stage results, rows, exported models, study files."""
