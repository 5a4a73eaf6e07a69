-- Which life of this store this is: its process and a mark that goes with its data.
--
-- KEYS    the hash of `mark`, `name` (of the life that was seen last) and `since`
-- ARGV    what to mark it with if it is unmarked, the mark to replace (or an empty string), the life that the asker knows (or an
--         empty string)
-- -> {name, for how many microseconds askers that knew another life have known of this one; -1: there were none}
local call = redis.call
local found = call('HMGET', KEYS[1], 'mark', 'name', 'since')
local mark, since = found[1], tonumber(found[3] or 0)
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if not mark or mark == ARGV[2] then
  mark = ARGV[1]
  call('HSET', KEYS[1], 'mark', mark)
end
local run = string.match(call('INFO', 'server'), 'run_id:(%w+)')
local name = string.sub(run or 'none', 1, 12) .. '-' .. mark
if name ~= found[2] then since = 0 end
local surprised = ARGV[3] ~= '' and ARGV[3] ~= name
if name ~= found[2] or (since == 0 and surprised) then
  if surprised then since = now end
  call('HSET', KEYS[1], 'name', name, 'since', string.format('%.0f', since))
end
return {name, since > 0 and math.max(0, now - since) or -1}
