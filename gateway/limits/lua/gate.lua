-- Reserve, settle and renew for a batch of calls, each all or nothing.
--
-- KEYS    the distinct keys of the batch, all in one slot on a cluster
-- ARGV[1] msgpack: a list of items {indexes of KEYS, {operation, call id, ...}}
--   reserve  {1, id, lease_us, {limit...}}  -> {1, 0, 0, remaining, reset_us, ...} or {0, binding limit, wait_us, remaining, reset_us, ...}
--   settle   {2, id, {limit...}}            -> {1}; a rate's cost is what to add (or, negative, to give back)
--   renew    {3, id, lease_us, {limit...}}  -> {1}
-- A limit is {1, position in the item's indexes, capacity, microseconds per unit, cost} for a rate, or {2, position, capacity} for
-- slots. A rate's key holds its theoretical arrival time (GCRA) in microseconds of this server's clock: when the bucket will be full
-- again. Slots are a sorted set of call ids by the end of their lease, so that what a killed process held frees itself.
--
-- A batch often touches one key many times: each key is read once and written once. What is settled frees room before anything
-- is reserved.

local call = redis.call
local ceil, floor, max = math.ceil, math.floor, math.max
local time = call('TIME')
local now = time[1] * 1000000 + time[2]

local tats, changed = {}, {}
local counts, added, removed, expiry, settled = {}, {}, {}, {}, {}

local function tat_of(key)
  local tat = tats[key]
  if not tat then
    tat = tonumber(call('GET', KEYS[key]) or 0)
    if tat < now then tat = now end
    tats[key] = tat
  end
  return tat
end

local function move(key, by)
  local tat = tat_of(key) + by
  if tat < now then tat = now end
  tats[key] = tat
  changed[key] = true
end

local function used_of(key, capacity)
  local used = counts[key]
  if not used then
    used = call('ZCARD', KEYS[key])
    counts[key] = used
  end
  if used >= capacity and not expiry[key] then
    -- Only a full set is worth a search for leases that ran out; what this batch added is none of them.
    expiry[key] = true
    used = used - call('ZREMRANGEBYSCORE', KEYS[key], '-inf', now)
    counts[key] = used
  end
  return used
end

local function settle(keys, id, limits)
  settled[id] = true
  for i = 1, #limits do
    local limit = limits[i]
    local key = keys[limit[2]]
    if limit[1] == 2 then
      local ids = removed[key]
      if not ids then
        ids = {}
        removed[key] = ids
      end
      ids[#ids + 1] = id
    else
      move(key, limit[5] * limit[4])
    end
  end
end

local function hold(key, id, lease)
  local members = added[key]
  if not members then
    members = {lease = 0}
    added[key] = members
  end
  members[#members + 1] = now + lease
  members[#members + 1] = id
  members.lease = max(members.lease, lease)
end

local function reserve(keys, id, lease, limits)
  local count = #limits
  local binding, wait = 0, 1 -- who waited as told is not sent away for the microsecond that rounding left
  for i = 1, count do
    local limit = limits[i]
    local key = keys[limit[2]]
    local needed = 0
    if limit[1] == 1 then
      -- A time in microseconds has quarters of them at best: a hundredth of a unit absorbs what rounding added.
      needed = tat_of(key) + limit[5] * limit[4] - now - (limit[3] + 0.01) * limit[4]
    elseif used_of(key, limit[3]) >= limit[3] then
      -- A slot has no schedule: it is free when some call ends.
      needed = 1000000
    end
    if needed > wait then binding, wait = i, needed end
  end
  local admitted = binding == 0
  local reply = {admitted and 1 or 0, binding, admitted and 0 or ceil(wait)}
  for i = 1, count do
    local limit = limits[i]
    local key = keys[limit[2]]
    if limit[1] == 1 then
      if admitted and limit[5] > 0 then move(key, limit[5] * limit[4]) end
      local ahead = tats[key] - now
      reply[2 + 2 * i] = max(0, floor(limit[3] - ahead / limit[4] + 0.01))
      reply[3 + 2 * i] = ceil(ahead)
    else
      if admitted then
        hold(key, id, lease)
        counts[key] = counts[key] + 1
      end
      reply[2 + 2 * i] = max(0, limit[3] - counts[key])
      reply[3 + 2 * i] = 0
    end
  end
  return reply
end

local items = cmsgpack.unpack(ARGV[1])
local replies = {}

for n = 1, #items do
  local args = items[n][2]
  if args[1] == 2 then
    settle(items[n][1], args[2], args[3])
    replies[n] = {1}
  end
end
for key, ids in pairs(removed) do call('ZREM', KEYS[key], unpack(ids)) end

for n = 1, #items do
  local keys, args = items[n][1], items[n][2]
  if args[1] == 1 then
    replies[n] = reserve(keys, args[2], args[3], args[4])
  elseif args[1] == 3 and settled[args[2]] then
    -- Renewed and then settled in one batch: it must not come back.
    replies[n] = {1}
  elseif args[1] == 3 then
    for i = 1, #args[4] do
      if args[4][i][1] == 2 then hold(keys[args[4][i][2]], args[2], args[3]) end
    end
    replies[n] = {1}
  end
end

for key in pairs(changed) do
  local tat = tats[key]
  if tat > now then
    call('SET', KEYS[key], tat, 'PX', ceil((tat - now) / 1000) + 1000)
  else
    call('DEL', KEYS[key])
  end
end
for key, members in pairs(added) do
  call('ZADD', KEYS[key], unpack(members))
  call('PEXPIRE', KEYS[key], ceil(members.lease / 1000) + 1000)
end
return cmsgpack.pack(replies)
