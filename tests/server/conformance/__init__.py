"""The same calls of MLflow's own client, to our server and to MLflow's: the answers are compared."""
