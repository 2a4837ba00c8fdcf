-- The state of one plugin. Each value is a string of its own, which Redis removes when its time is up. Beside them:
--   KEYS[1]  sorted set: when each key expires, in milliseconds of Unix time
--   KEYS[2]  hash: of each key ("k" before it) what it costs and when it was made; "bytes" of all, "made" so far
--   KEYS[3]  sorted set: counters that give way, by their count and, of equal ones, by their age
-- ARGV: operation, what the keys of values begin with, the limit in bytes, and what the operation takes.
local index, costs, counters = KEYS[1], KEYS[2], KEYS[3]
local operation, prefix, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local OVERHEAD = 64
-- How much longer than the last value its bookkeeping stays, in milliseconds.
local SLACK = 60000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gave_way = 0

local function bytes()
  return tonumber(redis.call('HGET', costs, 'bytes') or '0')
end

-- The cost of an entry, and its number among counters that give way; 0 where it is none.
local function facts(key)
  local cost, made = string.match(redis.call('HGET', costs, 'k' .. key) or '', '^(%d+) (%d+)$')
  return tonumber(cost or '0'), tonumber(made or '0')
end

local function counter(key, made)
  return string.format('%016.0f', made) .. key
end

local function forget(key)
  local cost, made = facts(key)
  if cost > 0 then
    redis.call('HINCRBY', costs, 'bytes', -cost)
    redis.call('HDEL', costs, 'k' .. key)
  end
  if made > 0 then redis.call('ZREM', counters, counter(key, made)) end
  redis.call('ZREM', index, key)
  return redis.call('DEL', prefix .. key)
end

-- Forgets so many that have expired, but not this one.
local function sweep(most, except)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, most)) do
    if key ~= except then forget(key) end
  end
end

local function fits(key, length)
  return bytes() - facts(key) + #key + length + OVERHEAD <= limit
end

-- The least counters go first, and of those the oldest, until an eighth is free.
local function make_room(except)
  local enough, kept = limit - math.floor(limit / 8), 0
  while bytes() > enough do
    local first = redis.call('ZRANGE', counters, kept, kept)[1]
    if not first then return end
    local key = string.sub(first, 17)
    if key == except then
      kept = 1
    else
      forget(key)
      gave_way = gave_way + 1
    end
  end
end

-- Whether there is room for a value of this length.
local function room(key, length, yields)
  if fits(key, length) then return true end
  sweep(-1, key)
  if fits(key, length) then return true end
  if yields then make_room(key) end
  return fits(key, length)
end

-- Notes what lies in `key` now. It expires at `expires`; where that is nil, when it did before.
local function note(key, length, yields, count, expires)
  local before, made = facts(key)
  if made > 0 then redis.call('ZREM', counters, counter(key, made)) end
  if not yields then
    made = 0
  else
    if made == 0 then made = redis.call('HINCRBY', costs, 'made', 1) end
    redis.call('ZADD', counters, count, counter(key, made))
  end
  local cost = #key + length + OVERHEAD
  redis.call('HINCRBY', costs, 'bytes', cost - before)
  redis.call('HSET', costs, 'k' .. key, string.format('%.0f %.0f', cost, made))
  if expires then redis.call('ZADD', index, expires, key) end
end

-- The bookkeeping goes a while after the last value.
local function tidy()
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')[2]
  if not last then
    redis.call('DEL', index, costs, counters)
  elseif last == 'inf' then
    for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end
  else
    local at = string.format('%.0f', tonumber(last) + SLACK)
    for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, at) end
  end
end

-- When an entry of so many seconds expires, as a sorted set has it.
local function expiry(seconds)
  if seconds == '' then return '+inf' end
  return string.format('%.0f', now + tonumber(seconds) * 1000)
end

-- KEY VALUE SECONDS; seconds are '' where it lives on.
local function set(key, value, seconds)
  sweep(10, key)
  if seconds == '0' then
    forget(key)
    return 1
  end
  if not room(key, #value, false) then return 0 end
  redis.call('SET', prefix .. key, value)
  if seconds ~= '' then redis.call('PEXPIREAT', prefix .. key, expiry(seconds)) end
  note(key, #value, false, 0, expiry(seconds))
  return 1
end

-- Numbers of Lua have 53 bits, so that Redis has to add. It takes fewer forms of numbers.
local function canonical(text)
  local sign, digits = string.match(text, '^([+-]?)0*(%d+)$')
  if not digits then return '0' end
  if sign == '+' or digits == '0' then sign = '' end
  return sign .. digits
end

local function sum(name, delta)
  local added = redis.pcall('INCRBY', name, delta)
  if type(added) == 'table' and added.err then
    local most = string.sub(delta, 1, 1) == '-' and '-9223372036854775808' or '9223372036854775807'
    local result = string.find(added.err, 'overflow') and most or delta
    redis.call('SET', name, result, 'KEEPTTL')
  end
  return redis.call('GET', name)
end

-- KEY DELTA SECONDS YIELDS
local function add(key, delta, seconds, yields)
  sweep(10, key)
  local name = prefix .. key
  local before = redis.call('GET', name)
  if not before then
    forget(key)
    if seconds == '0' then return { delta, 1 } end
  elseif canonical(before) ~= before then
    redis.call('SET', name, canonical(before), 'KEEPTTL')
  end
  local result = sum(name, delta)
  if not room(key, #result, yields == '1') then
    if before then
      redis.call('SET', name, before, 'KEEPTTL')
    else
      redis.call('DEL', name)
    end
    return { result, 0 }
  end
  local expires = not before and expiry(seconds) or nil
  if expires and seconds ~= '' then redis.call('PEXPIREAT', name, expires) end
  note(key, #result, yields == '1', result, expires)
  return { result, 1 }
end

-- The keys that begin so, each with the milliseconds that it has left, -1 where it lives on.
local function list(beginning)
  local found = {}
  local all = redis.call('ZRANGEBYSCORE', index, '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES')
  for place = 1, #all, 2 do
    local key, expires = all[place], all[place + 1]
    if string.sub(key, 1, #beginning) == beginning then
      found[#found + 1] = key
      found[#found + 1] = expires == 'inf' and -1 or tonumber(expires) - now
    end
  end
  return found
end

local function clear()
  local keys = redis.call('ZRANGE', index, 0, -1)
  for _, key in ipairs(keys) do forget(key) end
  return #keys
end

local answer
if operation == 'size' then return { redis.call('ZCARD', index), bytes() } end
if operation == 'list' then return list(ARGV[4]) end
if operation == 'set' then answer = { set(ARGV[4], ARGV[5], ARGV[6]) } end
if operation == 'add' then answer = add(ARGV[4], ARGV[5], ARGV[6], ARGV[7]) end
if operation == 'delete' then answer = { forget(ARGV[4]) } end
if operation == 'clear' then answer = { clear() } end
tidy()
answer[#answer + 1] = gave_way
return answer
