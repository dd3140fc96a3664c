"""What touches the machine: databases, migrations, wake-ups, durable workflows, logs."""
