"""Files to text, in child processes: any native parser can be made to hang, to crash or to take gigabytes."""
