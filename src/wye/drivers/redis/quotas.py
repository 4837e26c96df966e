"""What is used of quotas, as hashes in Redis: `spent`, `leaked_s` (when it last came back), and what each owner holds.

Scripts run alone and as a whole: https://valkey.io/topics/eval-intro/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wye.ports.quota import Grant, Quota

# Times are the server's own: clocks of replicas differ. %.17g is how a double keeps its value as text.
_USE = """
local time = redis.call('time')
local now_s = time[1] + time[2] / 1000000
local function write(key, spent, known_s)
  redis.call('hset', key, 'spent', string.format('%.17g', spent), 'leaked_s', string.format('%.17g', now_s))
  redis.call('pexpire', key, math.ceil(known_s * 1000))
end
local function spend(key, spent, limit, window_s)
  write(key, spent, window_s * math.max(1, spent / limit))
end
local function leak(spent, leaked_s, limit, window_s)
  return math.max(0, spent - (now_s - leaked_s) * limit / window_s)
end
"""

RESERVE = (
    _USE
    + """
local owner = ARGV[1]
local wanted, left = {}, {}
for place, key in ipairs(KEYS) do
  local first = 3 + (place - 1) * 5
  local limit, amount, window_s = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local refills, spent = ARGV[first + 3] == '1', tonumber(ARGV[first + 4])
  local leaked_s, held = now_s, 0
  local row = redis.call('hgetall', key)
  if #row == 0 and not spent then return {'unknown', place - 1} end
  for i = 1, #row, 2 do
    if row[i] == 'spent' then spent = tonumber(row[i + 1])
    elseif row[i] == 'leaked_s' then leaked_s = tonumber(row[i + 1])
    elseif row[i] == owner or redis.call('exists', row[i]) == 1 then held = held + tonumber(row[i + 1])
    else redis.call('hdel', key, row[i]) end
  end
  if refills then spent = leak(spent, leaked_s, limit, window_s) end
  local free = limit - spent - held
  if amount > free and not (refills and spent == 0) then
    local wait_s = 0
    if refills then wait_s = (math.min(amount, limit) - free) * window_s / limit end
    return {'refused', place - 1, string.format('%.17g', wait_s)}
  end
  wanted[place] = {key, spent, amount, limit, window_s, refills}
  left[place] = math.floor(math.max(0, free - amount))
end
local holds = false
for _, want in ipairs(wanted) do
  local key, spent, amount, limit, window_s, refills = unpack(want)
  if refills then
    spend(key, spent + amount, limit, window_s)
  else
    holds = true
    write(key, spent, window_s)
    redis.call('hincrby', key, owner, amount)
  end
end
if holds then redis.call('set', owner, owner, 'px', ARGV[2]) end
return {'granted', left}
"""
)

SETTLE = (
    _USE
    + """
local owner = ARGV[1]
for place, key in ipairs(KEYS) do
  local first = 2 + (place - 1) * 5
  local limit, amount, window_s = tonumber(ARGV[first]), tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2])
  local refills, used = ARGV[first + 3] == '1', tonumber(ARGV[first + 4])
  local row = redis.call('hmget', key, 'spent', 'leaked_s', owner)
  if row[1] then
    local spent = tonumber(row[1])
    if refills then
      spent = leak(spent, tonumber(row[2]), limit, window_s)
      spend(key, math.max(0, spent + used - amount), limit, window_s)
    else
      write(key, spent + used, window_s)
      if tonumber(row[3] or 0) > amount then
        redis.call('hincrby', key, owner, -amount)
      else
        redis.call('hdel', key, owner)
      end
    end
  end
end
"""
)


def reserve_arguments(quotas: Sequence[Quota], amounts: Sequence[int], owner: str, lease_ms: int) -> list[Any]:
    wanted = zip(quotas, amounts, strict=True)
    return [owner, lease_ms, *(a for q, amount in wanted for a in (*_facts(q, amount), _text(q.start)))]


def settle_arguments(quotas: Sequence[Quota], amounts: Sequence[int], spent: Sequence[int], owner: str) -> list[Any]:
    settled = zip(quotas, amounts, spent, strict=True)
    return [owner, *(a for q, amount, used in settled for a in (*_facts(q, amount), used))]


def read_grant(answer: list[Any]) -> Grant:
    match answer:
        case [b"granted", left]:
            return Grant(left)
        case [b"refused", place, wait_s]:
            return Grant([], place, float(wait_s))
        case _:
            return Grant([], unknown=answer[1])


def _facts(quota: Quota, amount: int) -> tuple[int, int, float, int]:
    return quota.limit, amount, quota.window_s, int(quota.refills)


def _text(start: int | None) -> str | int:
    return "" if start is None else start
