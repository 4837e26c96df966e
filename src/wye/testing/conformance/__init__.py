"""How well a server speaks the vendors' formats, and how well a gateway carries them: `wye conformance`."""
