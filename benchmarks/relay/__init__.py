"""What relaying a call costs: the CPU of the gateway's process tree per request, beside nginx in the same run."""
