-- SPDX-License-Identifier: ISC
-- Redeem a nonce, then take limits, all or none.
--
-- A limit's key is a list of moments (microseconds of this server's clock),
-- newest first: when one was taken. One more may be taken iff the max-th
-- newest is at least a window old, or there is none. A refused attempt leaves
-- no trace. A list never has more than max members, and goes when the newest
-- of them is a window old.
--
-- KEYS: the epoch's key, the nonce's, then one for each limit
-- ARGV: the epoch that the nonce names, or '' if there is no nonce; how long
--       the nonce is to be remembered (ms); then for each limit: max - 1, the
--       window (us), the window (ms, rounded up) or '' only to look
-- Answer: 0 no nonce, 1 redeemed, 2 used before, 3 of another epoch; which
--         limit refuses longest, 0 for none; for how long (us)
local call = redis.call
local nonce = 0
if ARGV[1] ~= '' then
	local epoch = call('GET', KEYS[1])
	if not epoch or string.sub(epoch, 1, 16) ~= ARGV[1] then
		return {3, 0, 0}
	end
	if not call('SET', KEYS[2], '', 'NX', 'PX', ARGV[2]) then
		return {2, 0, 0}
	end
	nonce = 1
end
local n = #KEYS - 2
if n == 0 then
	return {nonce, 0, 0}
end

local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local refusing, wait = 0, 0
for i = 1, n do
	local key = KEYS[i + 2]
	local moment = call('LINDEX', key, ARGV[3 * i])
	if moment then
		if moment - now > 0 then
			-- The clock was set back: no moment may count for
			-- longer than a window from now.
			local list = call('LRANGE', key, 0, -1)
			call('DEL', key)
			for j = 1, #list do
				call('RPUSH', key, string.format('%.0f',
				    math.min(list[j], now)))
			end
			call('PEXPIRE', key, math.ceil(ARGV[3 * i + 1] / 1000))
			moment = now
		end
		local left = moment + ARGV[3 * i + 1] - now
		if left > wait then
			refusing, wait = i, left
		end
	end
end
if refusing > 0 then
	return {nonce, refusing, wait}
end

local moment = string.format('%.0f', now)
for i = 1, n do
	local life = ARGV[3 * i + 2]
	if life ~= '' then
		local key = KEYS[i + 2]
		if call('LPUSH', key, moment) - ARGV[3 * i] > 1 then
			call('LTRIM', key, 0, ARGV[3 * i])
		end
		call('PEXPIRE', key, life)
	end
end
return {nonce, 0, 0}
