"""What this package adds to Airflow's API server: the page that shows a gate's report."""
