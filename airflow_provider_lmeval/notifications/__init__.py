"""Tells people about verdicts, through whichever notifier of Airflow's they use."""
