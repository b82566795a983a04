"""Where a job runs: device, logs, energy, provenance; and what code its result depends on."""
