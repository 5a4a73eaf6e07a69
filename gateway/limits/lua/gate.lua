-- Reserve, settle and renew for a batch of calls, in order, each all or nothing.
--
-- KEYS    the distinct keys of the batch, all in one slot on a cluster
-- ARGV[1] msgpack: a list of items {indexes of KEYS, {operation, call id, ...}}
--   reserve  {1, id, lease_us, {limit...}}  -> {1, 0, 0, remaining, reset_us, ...} or {0, binding limit, wait_us, remaining, reset_us, ...}
--   settle   {2, id, {limit...}}            -> {1}; a rate's cost is what to add (or, negative, to give back)
--   renew    {3, id, lease_us, {limit...}}  -> {1}
-- A limit is {1, position in the item's indexes, capacity, microseconds per unit, cost} for a rate, or {2, position, capacity} for
-- slots. A rate's key holds its theoretical arrival time (GCRA) in microseconds of this server's clock: when the bucket will be full
-- again. Slots are a sorted set of call ids by the end of their lease, so that what a killed process held frees itself.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local call = redis.call

local function reserve(keys, id, lease, limits)
  local count = #limits
  local state, binding, wait = {}, 0, 0
  for i = 1, count do
    local limit = limits[i]
    local key = KEYS[keys[limit[2]]]
    local needed = 0
    if limit[1] == 1 then
      local tat = tonumber(call('GET', key) or 0)
      if tat < now then tat = now end
      state[i] = tat
      needed = tat + limit[5] * limit[4] - now - limit[3] * limit[4]
    else
      local used = call('ZCARD', key)
      if used >= limit[3] then
        call('ZREMRANGEBYSCORE', key, '-inf', now)
        used = call('ZCARD', key)
      end
      state[i] = used
      -- A slot has no schedule: it is free when some call ends.
      if used >= limit[3] then needed = 1000000 end
    end
    if needed > wait then binding, wait = i, needed end
  end
  local reply = {binding == 0 and 1 or 0, binding, math.ceil(wait)}
  for i = 1, count do
    local limit = limits[i]
    local key = KEYS[keys[limit[2]]]
    if limit[1] == 1 then
      local tat = state[i]
      if binding == 0 and limit[5] > 0 then
        tat = tat + limit[5] * limit[4]
        call('SET', key, tat, 'PX', math.ceil((tat - now) / 1000) + 1000)
      end
      reply[2 + 2 * i] = math.max(0, math.floor(limit[3] - (tat - now) / limit[4] + 0.000001))
      reply[3 + 2 * i] = math.ceil(tat - now)
    else
      if binding == 0 then
        call('ZADD', key, now + lease, id)
        call('PEXPIRE', key, math.ceil(lease / 1000) + 1000)
        state[i] = state[i] + 1
      end
      reply[2 + 2 * i] = math.max(0, limit[3] - state[i])
      reply[3 + 2 * i] = 0
    end
  end
  return reply
end

local function settle(keys, id, limits)
  for i = 1, #limits do
    local limit = limits[i]
    local key = KEYS[keys[limit[2]]]
    if limit[1] == 2 then
      call('ZREM', key, id)
    elseif limit[5] ~= 0 then
      local tat = tonumber(call('GET', key) or 0)
      if tat < now then tat = now end
      tat = tat + limit[5] * limit[4]
      if tat > now then
        call('SET', key, tat, 'PX', math.ceil((tat - now) / 1000) + 1000)
      else
        call('DEL', key)
      end
    end
  end
  return {1}
end

local function renew(keys, id, lease, limits)
  for i = 1, #limits do
    local limit = limits[i]
    if limit[1] == 2 then
      local key = KEYS[keys[limit[2]]]
      call('ZADD', key, now + lease, id)
      call('PEXPIRE', key, math.ceil(lease / 1000) + 1000)
    end
  end
  return {1}
end

local items = cmsgpack.unpack(ARGV[1])
local replies = {}
for n = 1, #items do
  local keys, args = items[n][1], items[n][2]
  if args[1] == 1 then
    replies[n] = reserve(keys, args[2], args[3], args[4])
  elseif args[1] == 2 then
    replies[n] = settle(keys, args[2], args[3])
  else
    replies[n] = renew(keys, args[2], args[3], args[4])
  end
end
return cmsgpack.pack(replies)
