"""What DAG authors use. Thin on purpose: render, validate, call down; importing it loads nothing heavy."""
