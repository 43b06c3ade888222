-- SPDX-License-Identifier: ISC
-- How does a limit's key stand? And, if asked, forget it. See take.lua.
--
-- KEYS: the limit's
-- ARGV: max - 1, the window (us), '1' to forget
-- Answer: how many were taken in the window that ends now; after how long one
--         more would pass (us)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local list = redis.call('LRANGE', KEYS[1], 0, -1)
local used, wait = 0, 0
for i = 1, #list do
	local left = math.min(list[i] + ARGV[2] - now, ARGV[2])
	if left > 0 then
		used = used + 1
	end
	if i - 1 == tonumber(ARGV[1]) and left > 0 then
		wait = left
	end
end
if ARGV[3] == '1' then
	redis.call('DEL', KEYS[1])
end
return {used, wait}
