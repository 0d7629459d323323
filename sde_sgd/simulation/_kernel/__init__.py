"""Many steps of many chains as one kernel of the device."""
