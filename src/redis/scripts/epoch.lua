-- SPDX-License-Identifier: ISC
-- The epoch of this server's memory: begins anew when the key is gone (a
-- flush, a loss) or when the server is not the one that the key was set on (a
-- restart, a promoted replica: its master_replid differs). The key is written
-- each time, so this also shows whether the server takes writes at all.
--
-- KEYS: the epoch's key
-- ARGV: 16 hex digits, the epoch if one is to begin
-- Answer: the 16 hex digits of the epoch, '' if the server does not tell who
--         it is
local info = redis.pcall('INFO', 'replication')
local server
if type(info) == 'string' then
	if string.find(info, 'role:slave', 1, true) then
		return redis.error_reply('READONLY this is a replica')
	end
	server = string.match(info, 'master_replid:(%x+)')
end
local epoch = redis.call('GET', KEYS[1])
if server and (not epoch or string.sub(epoch, 18) ~= server) then
	epoch = ARGV[1] .. ' ' .. server
end
redis.call('SET', KEYS[1], epoch or 'none')
if not server then
	return ''
end
return string.sub(epoch, 1, 16)
