"""What may be used evenly over time: a leaky bucket as a meter. https://en.wikipedia.org/wiki/Leaky_bucket#As_a_meter"""

from __future__ import annotations


class Bucket:
    """What is poured in leaks out again, `capacity` of it within `window_s`. Of no capacity nothing can be taken."""

    __slots__ = ("_capacity", "_level", "_looked_s", "_rate")

    def __init__(self, capacity: int, window_s: float, now_s: float, level: int = 0) -> None:
        self._capacity = capacity
        self._rate = capacity / window_s
        """What leaks out in a second."""
        self._level: float = level
        """What was in it when it was last looked at."""
        self._looked_s = now_s

    def take(self, amount: int, now_s: float) -> int:
        """Pour in so much. What is left to take then, or -1 where there is no room: nothing is poured in then. What is
        larger than the whole bucket goes in when that is empty."""
        level = self._level - (now_s - self._looked_s) * self._rate
        self._looked_s = now_s
        if level <= 0.0 and self._rate:
            self._level = amount
            return self._capacity - amount if amount < self._capacity else 0
        left = int(self._capacity - level) - amount
        if left < 0:
            self._level = level
            return -1
        self._level = level + amount
        return left

    def correct(self, more: int, now_s: float) -> None:
        """Pour in what was used beyond what was taken, or take out what was not used."""
        level = self._level - (now_s - self._looked_s) * self._rate
        level = level + more if level > 0.0 else more
        self._level = level if level > 0.0 else 0.0
        self._looked_s = now_s

    def wait_s(self, amount: int) -> float:
        """After how long so much may go in, which could not be taken now; 0 where that is never."""
        return (self._level + min(amount, self._capacity) - self._capacity) / self._rate if self._rate else 0.0

    def is_empty(self, now_s: float) -> bool:
        return self._level <= (now_s - self._looked_s) * self._rate
