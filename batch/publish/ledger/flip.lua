#!lua
-- Change what is served under a variant: the pointer, its history and the states, all or nothing, in one call.
--
-- KEYS  1 current  2 states  3 promotions  4 lease (looked at only where ARGV 6 is given)  5 log of quarantines
-- ARGV  1 promote, rollback or quarantine  2 a generation; empty for rollback  3 epoch seconds, for the history
--       4 why, for the history  5 `1`: rollback bars what it leaves; promote takes a quarantined one, too
--       6 the lease as its holder wrote it; empty for people, who need none  7 who does it, a word; empty: unknown
-- Reply {flipped, generation, the one served until now or empty, the previous one from now on or empty};
--       {barred, the current one, the previous one} where nothing else is served; else nothing was written: {state, what it is or empty}, {nothing, the current one or empty}, {lease}
-- Cost  O(p) for the latest p promotions, 100 at most
local act, wanted, now_s, why, flag, held, who = unpack(ARGV)
if held ~= '' and redis.call('GET', KEYS[4]) ~= held then
    return {'lease'}
end
local current = redis.call('HGET', KEYS[1], 'generation') or ''
local previous = redis.call('HGET', KEYS[1], 'previous')
local history = redis.call('ZRANGE', KEYS[3], -100, -1, 'WITHSCORES')

local by = (who or '') ~= '' and ' ' .. who or ''
local function bar(generation)
    redis.call('HSET', KEYS[2], generation, 'quarantined')
    redis.call('ZADD', KEYS[5], now_s, string.format('%s %s quarantined', now_s, generation) .. by)
end

local function state(generation)
    return redis.call('HGET', KEYS[2], generation) or ''
end

-- The newest generation below another one that was current once and is still sealed; empty where there is none.
local function older(than, barred)
    local best = ''
    local function consider(generation)
        local number, bound = tonumber(generation), tonumber(than)
        if number and bound and number < bound and number > (tonumber(best) or 0)
            and generation ~= barred and state(generation) == 'sealed' then
            best = generation
        end
    end
    for place = 1, #history, 2 do
        consider(string.match(history[place], '^%d+ (%d+)'))
    end
    consider(previous)
    return best
end

if act == 'quarantine' then
    if state(wanted) ~= 'sealed' then
        return {'state', state(wanted)}
    end
    if wanted ~= current then
        bar(wanted)
        if wanted == previous then
            previous = older(current)
            redis.call('HSET', KEYS[1], 'previous', previous)
        end
        return {'barred', current, previous or ''}
    end
end

local chosen = wanted
if act == 'promote' then
    local found = state(chosen)
    if found ~= 'sealed' and not (flag == '1' and found == 'quarantined') then
        return {'state', found}
    end
else
    chosen = older(current)
    if chosen == '' then
        return {'nothing', current}
    end
end

local barred = (act == 'quarantine' or (act == 'rollback' and flag == '1')) and current or nil
-- Written even where nothing changes: a retirement that read the states before now begins anew.
redis.call('HSET', KEYS[2], chosen, 'sealed')
if barred then
    bar(barred)
end
-- Going forward the current one stands before it, going back one yet older.
local before = older(math.min(tonumber(chosen), tonumber(current) or math.huge))
if current ~= '' and tonumber(current) < tonumber(chosen) then
    before = current
end

local number, from_s = 0, tonumber(redis.call('HGET', KEYS[1], 'promoted_at')) or 0
if #history > 0 then
    number, from_s = tonumber(string.match(history[#history - 1], '^%d+')), tonumber(history[#history])
elseif current ~= '' then  -- a store from before there was a history
    number = 1
    redis.call('ZADD', KEYS[3], from_s, string.format('%07d %s promoted', 1, current))
end
-- A clock that was set back must not reorder the history.
local at = string.format('%.0f', math.max(tonumber(now_s), from_s))
redis.call('ZADD', KEYS[3], at, string.format('%07d %s %s', number + 1, chosen, why) .. by)
local first = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
redis.call('HSET', KEYS[1], 'generation', chosen, 'promoted_at', at, 'since', first)
if before ~= '' or previous then
    redis.call('HSET', KEYS[1], 'previous', before)
end
return {'flipped', chosen, current, before}
