-- Book what a dead worker left open, free what it held, and forget the worker; or free some calls of a living one.
--
-- KEYS    the worker's hash of open calls, the stream of usage events, the hash of reaped calls, the set of workers
-- ARGV    the worker, the time in microseconds up to which its heartbeat must have run out (0: it is known to be dead);
--         with call ids after them only these calls are freed, and nothing is booked: the worker lives and does not know them
-- A record is {{{quota, reserved, charged}...}, {slots...}, event}; all of its keys are in this slot.
-- -> how many calls were booked, or -1 if the worker lives
local call = redis.call
local deadline = tonumber(call('ZSCORE', KEYS[4], ARGV[1]) or 0)
local before = tonumber(ARGV[2])
local some = #ARGV > 2
if not some and before > 0 and deadline > before then return -1 end
local open = {}
if some then
  for n = 3, #ARGV do
    local record = call('HGET', KEYS[1], ARGV[n])
    if record then
      open[#open + 1] = ARGV[n]
      open[#open + 1] = record
      call('HDEL', KEYS[1], ARGV[n])
    end
  end
else
  open = call('HGETALL', KEYS[1])
end
local events = {}
for n = 1, #open, 2 do
  local id, record = open[n], cmsgpack.unpack(open[n + 1])
  for _, hold in ipairs(record[1]) do
    if call('HEXISTS', hold[1], 'u') == 1 then
      if call('HINCRBY', hold[1], 'u', string.format('%.0f', (some and 0 or hold[3]) - hold[2])) < 0 then call('HSET', hold[1], 'u', 0) end
      if call('HINCRBY', hold[1], 'r', string.format('%.0f', -hold[2])) < 0 then call('HSET', hold[1], 'r', 0) end
    else
      call('HDEL', hold[1], 's') -- who is about to start it must ask the ledger again
    end
  end
  for _, slots in ipairs(record[2]) do call('ZREM', slots, id) end
  if not some then
    call('HSET', KEYS[3], id, 1)
    if record[3] then events[#events + 1] = record[3] end
  end
end
if #events > 0 then call('XADD', KEYS[2], '*', 'e', cmsgpack.pack(events)) end
if not some then
  call('EXPIRE', KEYS[3], 3600)
  call('DEL', KEYS[1])
  call('ZREM', KEYS[4], ARGV[1])
end
return #open / 2
