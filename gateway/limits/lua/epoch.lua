-- Which life of this store this is: its process and a mark that goes with its data.
--
-- KEYS    the mark
-- ARGV    what to mark it with if it is unmarked, and the mark to replace (or an empty string)
local mark = redis.call('GET', KEYS[1])
if not mark or mark == ARGV[2] then
  mark = ARGV[1]
  redis.call('SET', KEYS[1], mark)
end
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
return string.sub(run or 'none', 1, 12) .. '-' .. mark
