"""Child processes that answer messages: for work that would hold Python's lock, crash, hang or take all memory."""
