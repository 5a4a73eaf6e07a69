-- Reserve, settle, renew and note for a batch of calls, each all or nothing.
--
-- KEYS    the distinct keys of the batch, all in one slot on a cluster
-- ARGV[1] msgpack [tables, groups, items]. A table is a list of rows; a group is {indexes of KEYS, table number}: the first three keys
--         are the hash of open calls, the stream of usage events and the hash of reaped calls, then comes one key for each row. A row is
--           {1, capacity, microseconds per unit, measure}   a rate (GCRA)
--           {2, capacity}                                   slots
--           {3, amount, measure, hard}                      a quota; hard: 1 refuses what would exceed it, 0 only counts
--           {4, capacity, microseconds per unit}            a rate that counts only once the quota in the row before it is exceeded
--         with measure 1 requests, 2 tokens, 3 nano-USD. An item is {group number, args}:
--   reserve  {1, id, lease_us, tokens, {fixed cost, cost per output token, input tokens, least output, most output}, about or false}
--            -> {verdict, binding row, wait_us, granted output, remaining, reset_us, ...}, two numbers for each row; of a quota what
--               is used (others' reservations included) and what of it is only reserved. Verdicts: 1 admitted, 0 a rate or slots bind,
--               2 a quota is used up, 3 what is left of a quota is reserved by calls under way, 4 a quota's counter is missing.
--               wait_us is that of rates and slots, also where a quota is reserved.
--            Without quotas among the rows false stands for what only they are told: the five, what is charged, {reserved ...}, {used ...}
--   settle   {2, id, mode, requests, tokens, {reserved ...}, {used ...}, event or false} -> {applied}
--            requests and tokens are what to add to rates (negative gives back); reserved and used are requests, tokens and nano-USD of
--            quotas. mode 0: apply; 1: apply, but if the call's record is gone see who took it; 2: apply only if its record is there,
--            which then says what was reserved
--   renew    {3, id, lease_us} -> {1}
--   note     {4, id, about or false, event or false, {reserved ...}} -> {1}
--            What a call holds of quotas whose record is gone (the store lost it) is reserved again, unless the reaper took it.
--   carry    {5, id, base, tat, share} -> {1}
--            What a worker took of a rate without this store: its own bucket, a share of this one, would be full again at `tat`, and but
--            for what it took at `base` (microseconds of this server's clock). The group has one row, and after its key another one
--            that says that this was applied. A bucket is at most one window in debt.
--   peek     {6, id, lease_us, tokens, {as reserve}, false, {amounts}} -> {verdict, binding row, wait_us, granted output}
--            What `reserve` would say now. Nothing is written. A quota whose counter is missing has used the amount of its row, if any.
-- "about" is {event to book if the call's worker dies, {what that charges to quotas ...}}: with what the call holds it becomes its record.
-- The reply is {this server's time in microseconds, one result per item}.
--
-- A rate's key holds its theoretical arrival time in microseconds of this server's clock: when the bucket will be full again. Slots
-- are a sorted set of call ids by the end of their lease, so that what a killed process held frees itself. A quota is a hash of `u`,
-- what is used including what is reserved, and `r`, what is reserved; with neither it is about to be started (seed.lua).
--
-- A batch often touches one key many times: each key is read once and written once. What is settled frees room before anything
-- is reserved.

local call = redis.call
local ceil, floor, max, min = math.ceil, math.floor, math.max, math.min
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local input = cmsgpack.unpack(ARGV[1])
local groups, items = input[2], input[3]
for n = 1, #groups do groups[n][2] = input[1][groups[n][2]] end
local SHARE = 8 -- one call is granted at most this part of what is left, down to its least: many calls fit, and none can overdraw
local PLENTY = 1e15 -- output tokens that cost nothing here
local NOTHING = {0, 0, 0, 0, 0}
local AHEAD = 3 -- keys of a group before those of its rows

local tats, changed = {}, {}
local counts, added, removed, expiry, settled = {}, {}, {}, {}, {}
local used, reserved, touched = {}, {}, {}
local records, events, noted = {}, {}, {}

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

local function count_of(key, capacity)
  local count = counts[key]
  if not count then
    count = call('ZCARD', KEYS[key])
    counts[key] = count
  end
  if count >= capacity and not expiry[key] then
    -- Only a full set is worth a search for leases that ran out; what this batch added is none of them.
    expiry[key] = true
    count = count - call('ZREMRANGEBYSCORE', KEYS[key], '-inf', now)
    counts[key] = count
  end
  return count
end

local function used_of(key)
  local found = used[key]
  if found == nil then
    local both = call('HMGET', KEYS[key], 'u', 'r')
    found = both[1] and tonumber(both[1])
    used[key] = found
    reserved[key] = both[2] and tonumber(both[2]) or 0
  end
  return found
end

local function book(key, by, held)
  used[key] = max(0, used[key] + by)
  reserved[key] = max(0, reserved[key] + held)
  touched[key] = true
end

local function text(bytes)
  local length = #bytes
  if length > 65535 then return cmsgpack.pack(bytes) end
  return string.char(0xda, floor(length / 256), length % 256) .. bytes
end

-- What the reaper needs: {{{quota, reserved, charged}...}, {slots...}, event}. Of a group without quotas all but the event is the
-- same for every call.
local function record_of(group, about, amounts)
  local head = group[3]
  if not head then
    local holds, slots = {}, {}
    for i = 1, #group[2] do
      local row, key = group[2][i], KEYS[group[1][AHEAD + i]]
      if row[1] == 2 then
        slots[#slots + 1] = key
      elseif row[1] == 3 then
        holds[#holds + 1] = {key, amounts[row[3]], about[2][row[3]]}
      end
    end
    if #holds > 0 then return cmsgpack.pack({holds, slots, about[1]}) end
    head = "\147\144" .. (#slots > 0 and cmsgpack.pack(slots) or "\144")
    group[3] = head
  end
  return head .. (about[1] and text(about[1]) or "\194")
end

local function note(indexes, id, record, event)
  if record then
    local fields = records[indexes[1]]
    if not fields then
      fields = {}
      records[indexes[1]] = fields
    end
    fields[#fields + 1] = id
    fields[#fields + 1] = record
  end
  if event then
    local list = events[indexes[2]]
    if not list then
      list = {}
      events[indexes[2]] = list
    end
    list[#list + 1] = event
  end
end

-- A call under way gets a (new) record, and an event of it is booked.
local function put(group, args)
  local indexes, id, about, amounts = group[1], args[2], args[3], args[5]
  if about and #group[2] > 0 and not noted[id] and call('HEXISTS', KEYS[indexes[1]], id) == 0 then
    if call('HEXISTS', KEYS[indexes[3]], id) == 1 then
      about = false
    else
      for i = 1, #group[2] do
        local row, key = group[2][i], indexes[AHEAD + i]
        if row[1] == 3 and used_of(key) then book(key, amounts[row[3]], amounts[row[3]]) end
      end
    end
  end
  noted[id] = about and true
  note(indexes, id, about and record_of(group, about, amounts), args[4])
end

-- What the call's record says is reserved, by quota.
local function recorded(indexes, id)
  local found, record = {}, call('HGET', KEYS[indexes[1]], id)
  for _, hold in ipairs(record and cmsgpack.unpack(record)[1] or {}) do found[hold[1]] = hold[2] end
  return found
end

local function settle(group, args)
  local indexes, rows, id, mode = group[1], group[2], args[2], args[3]
  settled[id] = true
  local whole, apply = true, true
  local held = mode == 2 and recorded(indexes, id) or {}
  if mode > 0 and call('HDEL', KEYS[indexes[1]], id) == 0 then
    -- Its record is gone. A repetition was applied the first time; the reaper has charged it already; or the store lost it with
    -- everything, and then what it used counts in full.
    whole = false
    if mode == 2 or call('HDEL', KEYS[indexes[3]], id) == 1 then apply = false end
  end
  for i = 1, #rows do
    local row, key = rows[i], indexes[AHEAD + i]
    if row[1] == 2 then
      local ids = removed[key]
      if not ids then
        ids = {}
        removed[key] = ids
      end
      ids[#ids + 1] = id
    elseif apply and row[1] == 1 then
      local amount = row[4] == 1 and args[4] or args[5]
      if whole and amount ~= 0 then move(key, amount * row[3]) end
    elseif apply and row[1] == 3 and not used_of(key) then
      call('HDEL', KEYS[key], 's')
    elseif apply and row[1] == 3 then
      local measure = row[3]
      local was = held[KEYS[key]] or args[6][measure]
      if whole then
        book(key, args[7][measure] - was, -was)
      else
        book(key, args[7][measure], 0)
      end
    end
  end
  note(indexes, id, false, args[8])
  return {apply and 1 or 0}
end

local function carry(group, args)
  local row, key, mark = group[2][1], group[1][AHEAD + 1], group[1][AHEAD + 2]
  local taken = max(args[4], now) - max(args[3], now)
  if taken ~= 0 and call('SET', KEYS[mark], 1, 'NX', 'PX', ceil((max(args[3], args[4]) - now) / 1000) + 1000) then
    local debt = now + 2 * row[2] * row[3]
    local tat = tat_of(key)
    move(key, min(taken * args[5], max(0, debt - tat)))
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

-- Output tokens that what is left of a quota pays for; negative when not even the input fits.
local function room_of(row, free, demand)
  if row[3] == 1 then return free >= 1 and PLENTY or -1 end
  if row[3] == 2 then return free - demand[3] end
  if demand[2] > 0 then return floor((free - demand[1]) / demand[2]) end
  return free >= demand[1] and PLENTY or -1
end

local function live(key)
  return call('ZCOUNT', KEYS[key], string.format('(%.0f', now), '+inf')
end

local function reserve(group, args, peek)
  local indexes, rows, id, tokens, demand = group[1], group[2], args[2], args[4], args[5] or NOTHING
  local least, output = demand[4], demand[5]
  local verdict, binding, wait = 1, 0, 1 -- who waited as told is not sent away for the microsecond that rounding left
  local exceeded = false
  for i = 1, #rows do
    local row, key = rows[i], indexes[AHEAD + i]
    local kind, needed = row[1], 0
    if kind == 1 or (kind == 4 and exceeded) then
      -- A time in microseconds has quarters of them at best: a hundredth of a unit absorbs what rounding added.
      local cost = kind == 1 and row[4] == 2 and tokens or 1
      needed = tat_of(key) + cost * row[3] - now - (row[2] + 0.01) * row[3]
    elseif kind == 2 and (peek and live(key) or count_of(key, row[2])) >= row[2] then
      -- A slot has no schedule: it is free when some call ends.
      needed = 1000000
    elseif kind == 3 then
      local taken = used_of(key) or (peek and peek[i])
      if not taken then return {4, i, 0, 0} end
      local room = room_of(row, row[2] - taken, demand)
      exceeded = room < least
      if row[4] == 1 then
        if exceeded then
          local ever = room_of(row, row[2] - taken + reserved[key], demand) >= least
          if verdict < 2 or (verdict == 3 and not ever) then verdict, binding = ever and 3 or 2, i end
        elseif output > least then
          output = min(output, max(least, floor(room / SHARE)))
        end
      end
    end
    if needed > wait then
      wait = needed
      if verdict < 2 then verdict, binding = 0, i end
    end
  end
  local admitted = verdict == 1
  local reply = {verdict, binding, (verdict == 0 or verdict == 3) and ceil(wait) or 0, output}
  if peek then return reply end
  local amounts = {1, demand[3] + output, demand[1] + output * demand[2]}
  exceeded = false
  for i = 1, #rows do
    local row, key = rows[i], indexes[AHEAD + i]
    local kind, at = row[1], 3 + 2 * i
    if kind == 3 then
      exceeded = room_of(row, row[2] - used[key], demand) < least
      if admitted then
        book(key, amounts[row[3]], amounts[row[3]])
      end
      reply[at], reply[at + 1] = used[key], reserved[key]
    elseif kind == 2 then
      if admitted then
        hold(key, id, args[3])
        counts[key] = counts[key] + 1
      end
      reply[at], reply[at + 1] = max(0, row[2] - counts[key]), 0
    else
      local cost = kind == 1 and (row[4] == 2 and tokens or 1) or (exceeded and 1 or 0)
      if admitted and cost > 0 then move(key, cost * row[3]) end
      local ahead = tat_of(key) - now
      reply[at], reply[at + 1] = max(0, floor(row[2] - ahead / row[3] + 0.01)), ceil(ahead)
    end
  end
  if admitted and args[6] then note(indexes, id, record_of(group, args[6], amounts), false) end
  return reply
end

-- msgpack of a list of what is msgpack already.
local function framed(list)
  local size = #list
  return string.char(0xdc, floor(size / 256), size % 256) .. table.concat(list)
end

local replies = {now}

for n = 1, #items do
  local args = items[n][2]
  if args[1] == 2 then
    replies[n + 1] = settle(groups[items[n][1]], args)
  elseif args[1] == 5 then
    carry(groups[items[n][1]], args)
  end
end
for key, ids in pairs(removed) do
  local gone = call('ZREM', KEYS[key], unpack(ids))
  if counts[key] then counts[key] = counts[key] - gone end
end

for n = 1, #items do
  local group, args = groups[items[n][1]], items[n][2]
  if args[1] == 1 or args[1] == 6 then
    replies[n + 1] = reserve(group, args, args[7])
  elseif args[1] > 2 then
    replies[n + 1] = {1}
    if settled[args[2]] then
      -- Renewed or noted and then settled in one batch: it must not come back.
      if args[1] == 4 then note(group[1], args[2], false, args[4]) end
    elseif args[1] == 3 then
      for i = 1, #group[2] do
        if group[2][i][1] == 2 then hold(group[1][AHEAD + i], args[2], args[3]) end
      end
    elseif args[1] == 4 then
      put(group, args)
    end
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
for key in pairs(touched) do
  call('HSET', KEYS[key], 'u', string.format('%.0f', used[key]), 'r', string.format('%.0f', reserved[key]))
end
for key, fields in pairs(records) do call('HSET', KEYS[key], unpack(fields)) end
for key, list in pairs(events) do call('XADD', KEYS[key], '*', 'e', framed(list)) end
return cmsgpack.pack(replies)
