"""What the steps of a runbook do outside: one module for each sort of step that is not a restore or a person's."""
