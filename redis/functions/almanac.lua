#!lua name=almanac

-- feed: a user's feed at a time, as the API answers it. Read only: FCALL_RO.
--
-- KEYS  1 current:<variant>   2 manifest:<generation>   3 list:{<user>}:<generation>
--       4 seen:{<user>}, or likes:{<user>} where the manifest's seen_policy is `likes`
--       5 takedowns   6 popular:<generation>   7 catalogue:<generation>   8 posts:<generation>   9 ids
--       10 pins   11 numbers
--       12 windows:<generation>, where the manifest `needs` `windows`; else the next ones come one place sooner
--       13 explore:<generation>, where the manifest `needs` `explore`; likewise
--       14 the key 4 with `:old`, where the manifest `needs` `folded`; likewise
--       15… segment:<generation>:<name>, one for each of the manifest's `segments`, in their order
--       then, for a user without a list, as their profile names them: profile:<generation>:<signature>,
--       segment:<generation>:<name>
-- ARGV  1 the time, epoch seconds   2 how many posts, 1..100   3… ids of posts that are not wanted
-- Reply the rung, the bucket's start, the label of the time, then ids of posts, best first, pinned and drawn ones at
--       their places
-- Error the generation is no longer current, is not there, or an argument or a key is wrong
-- Cost  O(d log s) for the d places passed and the s posts seen (O(d s) while these are a listpack, up to
--       1,024); on the last rung d is the catalogue; with exploration places all new posts are passed besides
--
--   g=$(redis-cli HGET almanac:1:current:default generation)
--   redis-cli FCALL_RO feed 11 almanac:1:current:default almanac:1:manifest:$g "almanac:1:list:{200}:$g" \
--     'almanac:1:seen:{200}' almanac:1:takedowns almanac:1:popular:$g almanac:1:catalogue:$g \
--     almanac:1:posts:$g almanac:1:ids almanac:1:pins almanac:1:numbers 1640358000 5
--
-- Lists hold numbers of posts; who is asked in ids looks each up that the list passes. A live event of a post
-- that had no number when it came is in the user's live set alone, and counts here from the next run on.

local DAY = 86400

-- The start of the bucket that answers a time: api/contract/buckets.py, Horizon.bucket_for.
local function bucket_for(manifest, at)
    local start, width = manifest.start_s, manifest.width_s
    local ends = start + width * manifest.n_buckets
    if at >= start and at < ends then
        return at - (at - start) % width
    end
    local same_hour
    if at < start then
        same_hour = start + (at - start) % DAY
    else
        same_hour = ends - 1 - (ends - 1 - at) % DAY
    end
    if same_hour >= start and same_hour < ends then
        return same_hour - (same_hour - start) % width
    end
    local clock = at % DAY
    local to_first = (start % DAY - clock) % DAY
    local to_last = (clock - (ends - 1) % DAY) % DAY
    return to_first < to_last and start or ends - width
end

local function label_for(manifest, at)
    if at < manifest.as_of_s then
        return 'leaky'
    end
    local ends = manifest.start_s + manifest.width_s * manifest.n_buckets
    return at >= manifest.start_s and at < ends and 'exact' or 'nearest'
end

-- Ids are compared in this form: api/contract/ids.py, canonical. Numbers have it already.
local function canonical(id)
    local hex = '%x%x%x%x'
    local uuid = '^' .. hex .. hex .. '%-' .. hex .. '%-' .. hex .. '%-' .. hex .. '%-' .. hex .. hex .. hex .. '$'
    return string.find(id, uuid) and string.lower(id) or id
end

local function needs(manifest, what)
    for _, feature in ipairs(manifest.needs or {}) do
        if feature == what then
            return true
        end
    end
    return false
end

-- A whole number out of some bytes of a text, the lowest first.
local function whole(text, first, n)
    local sum = 0
    for k = n - 1, 0, -1 do
        sum = sum * 256 + string.byte(text, first + k)
    end
    return sum
end

-- A user's packed lists, see api/contract/packed.py: their bits, cells and segment, and where each bucket's list is.
local function open_packed(value)
    local bits, depth, buckets = whole(value, 1, 1), whole(value, 2, 2), whole(value, 4, 2)
    local n_segment, wide = whole(value, 8, 2), buckets > 256 and 2 or 1
    local named, size = 10 + buckets * wide, math.ceil(depth * bits / 8)
    if #value ~= named - 1 + n_segment + whole(value, 6, 2) * size then
        error('these are no packed lists')
    end
    local function start(bucket)
        return named + n_segment + whole(value, 10 + bucket * wide, wide) * size
    end
    local segment = n_segment > 0 and string.sub(value, named, named + n_segment - 1)
    return {bits = bits, depth = depth, buckets = buckets, segment = segment, start = start}
end

-- The list of a bucket out of packed lists, as text has it.
local function unpack_list(value, bucket)
    local packed = open_packed(value)
    if bucket < 0 or bucket >= packed.buckets then
        return false
    end
    local at, limit, held, n_held, posts = packed.start(bucket), 2 ^ packed.bits, 0, 0, {}
    for place = 1, packed.depth do
        while n_held < packed.bits do
            held, n_held, at = held + string.byte(value, at) * 2 ^ n_held, n_held + 8, at + 1
        end
        local post = held % limit
        if post == limit - 1 then
            break
        end
        posts[place] = string.format('%.0f', post)
        held, n_held = (held - post) / limit, n_held - packed.bits
    end
    return table.concat(posts, ' ')
end

-- A field of a user's lists, whichever way they are laid out: a bucket's start, or `segment`; false if it is not there.
local function own_field(manifest, key, field)
    if not needs(manifest, 'packed') then
        return redis.call('HGET', key, field)
    end
    local value = redis.call('GET', key)
    if not value or field == 'segment' then
        return value and open_packed(value).segment
    end
    return unpack_list(value, (tonumber(field) - manifest.start_s) / manifest.width_s)
end

local function segment_key(keys, manifest)
    local name = own_field(manifest, keys[3], 'segment')
    for place, known in ipairs(manifest.segments) do
        if known == name then
            return keys[11 + place]
        end
    end
end

-- `n` numbers of `bits` each, from place `at` of a value on; and the place after them.
local function read_cells(value, at, bits, n)
    local limit, held, n_held, cells = 2 ^ bits, 0, 0, {}
    for place = 1, n do
        while n_held < bits do
            held, n_held, at = held + string.byte(value, at) * 2 ^ n_held, n_held + 8, at + 1
        end
        local cell = held % limit
        cells[place], held, n_held = cell, (held - cell) / limit, n_held - bits
    end
    return cells, at
end

-- What a user saw, as api/contract/seen.py packs it: posts as text, and their times; nothing of no value.
local function unpack_seen(value)
    if not value then
        return {}, {}
    end
    local bits, short, long = string.byte(value, 1, 3)
    local at_s, n, n_long = whole(value, 4, 4), whole(value, 12, 4), whole(value, 16, 4)
    local bytes = math.ceil(n * bits / 8) + math.ceil(n * short / 8) + math.ceil(n_long * long / 8)
    if #value ~= 19 + bytes then
        error('this is not what a user saw')
    end
    local posts, steps, apart, place
    posts, place = read_cells(value, 20, bits, n)
    steps, place = read_cells(value, place, short, n)
    apart = read_cells(value, place, long, n_long)
    local next_long, times = 1, {}
    for k = 1, n do
        local step = steps[k]
        if step == 2 ^ short - 1 then
            step, next_long = apart[next_long], next_long + 1
        end
        at_s = at_s + step
        posts[k], times[k] = string.format('%.0f', posts[k]), at_s
    end
    return posts, times
end

-- Whether a post's window holds a time: api/contract/window.py. One without a window is there at any time.
local function holds_at(window, at)
    if not window then
        return true
    end
    local from, to = string.match(window, '^(%-?%d*),(%-?%d*)$')
    return (from == '' or tonumber(from) <= at) and (to == '' or at < tonumber(to))
end

-- Whether an id comes before another one of the same place: api/contract/pin.py, in_order. Lua's own order of
-- texts is that of the server's language.
local function comes_first(a, b)
    if #a ~= #b then
        return #a < #b
    end
    for at = 1, #a do
        if string.byte(a, at) ~= string.byte(b, at) then
            return string.byte(a, at) < string.byte(b, at)
        end
    end
    return false
end

-- The place that a pin gives at a time to a user of a segment; nil if none. Where a topic is asked for, pins of
-- that one hold; here none is.
local function place_of(text, at, segment)
    local pin = cjson.decode(text)
    local holds = (pin.from_s or at) <= at and at < (pin.to_s or at + 1)
    return holds and not pin.topic and (pin.segment or segment) == segment and pin.place
end

-- The pins that hold, by place; what is no pin is left out.
local function pins_at(key, at, segment)
    local stored, pins = redis.call('HGETALL', key), {}
    for field = 1, #stored, 2 do
        local is_pin, place = pcall(place_of, stored[field + 1], at, segment)
        if is_pin and place and place >= 1 then
            pins[#pins + 1] = {id = stored[field], place = place}
        end
    end
    table.sort(pins, function(a, b)
        if a.place ~= b.place then
            return a.place < b.place
        end
        return comes_first(a.id, b.id)
    end)
    return pins
end

-- Draw a post for each exploration place, by weight, none twice: api/contract/explore.py, draw. `posts` and
-- `weights` are what may be drawn, and lose what is; places that are `taken` stay so.
local function draw(posts, weights, places, salt, last, taken)
    local drawn = {}
    for block = 0, math.ceil(last / places) - 1 do
        local digits = redis.sha1hex(string.format('%d %s', block, salt))
        local place = block * places + tonumber(string.sub(digits, 1, 8), 16) % places + 1
        if place <= last and not taken[place] and #posts > 0 then
            local total, sum, at = 0, 0, nil
            for _, weight in ipairs(weights) do
                total = total + weight
            end
            local lot = tonumber(string.sub(digits, 9, 21), 16) / 2 ^ 52 * total
            for k, weight in ipairs(weights) do
                sum = sum + weight
                if not at and lot < sum then
                    at = k
                end
            end
            at = at or #posts
            table.remove(weights, at)
            drawn[#drawn + 1] = {place = place, post = table.remove(posts, at)}
        end
    end
    return drawn
end

local function feed(keys, args)
    local at, limit = tonumber(args[1]), tonumber(args[2])
    if not at or not limit or limit < 1 or limit > 100 then
        return redis.error_reply('ERR want a time in epoch seconds and a limit from 1 to 100')
    end
    local text = redis.call('GET', keys[2])
    if not text then
        return redis.error_reply('ERR there is no ' .. keys[2])
    end
    local manifest = cjson.decode(text)
    if tonumber(redis.call('HGET', keys[1], 'generation')) ~= manifest.generation then
        return redis.error_reply('ERR generation ' .. manifest.generation .. ' is not current')
    end
    local bucket = string.format('%.0f', bucket_for(manifest, at))
    local has_dictionary, windows = needs(manifest, 'ids'), nil
    if needs(manifest, 'windows') then
        local name = ':windows:' .. manifest.generation
        windows = table.remove(keys, 12) or ''
        if string.sub(windows, -#name) ~= name or redis.call('EXISTS', windows) == 0 then
            return redis.error_reply('ERR want the key …' .. name .. ' in place 12, which says when posts may be answered')
        end
    end
    local explore
    if needs(manifest, 'explore') then
        local name = ':explore:' .. manifest.generation
        explore = table.remove(keys, 12) or ''
        if string.sub(explore, -#name) ~= name or redis.call('EXISTS', explore) == 0 then
            return redis.error_reply('ERR want the key …' .. name .. ' after those before it, which says what is drawn')
        end
    end
    local packed_at = {}
    if needs(manifest, 'folded') then
        local old = table.remove(keys, 12) or ''
        if old ~= keys[4] .. ':old' then
            return redis.error_reply('ERR want the key …:old after those before it, which says what was seen long ago')
        end
        local posts, times = unpack_seen(redis.call('GET', old))
        for k, post in ipairs(posts) do
            packed_at[post] = times[k]
        end
    end
    local met, unwanted, chosen, pinned, taken = {}, {}, {}, {}, {}
    for place = 3, #args do
        unwanted[canonical(args[place])] = true
    end

    -- The id of a post as the table spells it; a number without an entry is the id.
    local function id_of(post)
        return has_dictionary and redis.call('HGET', keys[9], post) or post
    end

    -- The number of a post by its canonical id; nil for one that has none.
    local function number_of(id)
        if not has_dictionary then
            return id
        end
        local number = redis.call('HGET', keys[11], id)
        return number or redis.call('HEXISTS', keys[9], id) == 0 and id or nil
    end

    local function shown(post, id)
        if unwanted[id] or redis.call('SISMEMBER', keys[5], id) == 1 then
            return false
        end
        if redis.call('HEXISTS', keys[8], post) == 0 then
            return false
        end
        if windows and not holds_at(redis.call('HGET', windows, post), at) then
            return false
        end
        if manifest.seen_policy == 'none' then
            return true
        end
        local seen_at = redis.call('ZSCORE', keys[4], post)
        return (packed_at[post] or at + 1) > at and (not seen_at or tonumber(seen_at) > at)
    end

    local own = own_field(manifest, keys[3], bucket)
    local unknown, told = not own or own == '', 12 + #manifest.segments

    local function segment_name()
        local name = own_field(manifest, keys[3], 'segment')
        if not name and unknown and keys[told + 1] then
            local before = ':segment:' .. manifest.generation .. ':'
            local _, last = string.find(keys[told + 1], before, 1, true)
            name = last and string.sub(keys[told + 1], last + 1)
        end
        return name
    end

    -- Which posts are pinned to which places, ascending; they are met, and their places are no others'.
    local last_place, room = 0, limit
    for _, pin in ipairs(pins_at(keys[10], at, segment_name())) do
        local post, place = number_of(pin.id), math.max(pin.place, last_place + 1)
        if post and place <= limit and not met[post] and shown(post, pin.id) then
            met[post], taken[place], last_place, room = true, true, place, room - 1
            pinned[#pinned + 1] = {place = place, id = id_of(post)}
        end
    end

    -- What stands at exploration places; it is met, too. Only posts with weights for the user's segment may.
    if explore then
        local name = segment_name()
        local text = redis.call('HGET', explore, name or unknown and '?' or '*')
        local posts, weights = {}, {}
        for post, weight in string.gmatch(text or redis.call('HGET', explore, '*') or '', '(%S+):(%S+)') do
            if not met[post] and shown(post, canonical(id_of(post))) then
                posts[#posts + 1], weights[#weights + 1] = post, tonumber(weight)
            end
        end
        local user = string.match(keys[3], ':list:{(.-)}:')
        local salt = manifest.variant .. ' ' .. bucket .. ' ' .. user
        for _, drawn in ipairs(draw(posts, weights, manifest.counts.explore_places, salt, limit, taken)) do
            met[drawn.post], room = true, room - 1
            pinned[#pinned + 1] = {place = drawn.place, id = id_of(drawn.post)}
        end
        table.sort(pinned, function(a, b) return a.place < b.place end)
    end

    -- Take from a list until there are enough; tell at which place of the list that was.
    local function take(ranked)
        local place = 0
        for post in string.gmatch(ranked or '', '%S+') do
            place = place + 1
            if not met[post] then
                met[post] = true
                local id = id_of(post)
                if shown(post, canonical(id)) then
                    chosen[#chosen + 1] = id
                    if #chosen == room then
                        return place
                    end
                end
            end
        end
    end

    local function rung()
        local last = room == 0 and 0 or take(own)
        if last then
            return last <= limit and 'own' or 'rest'
        end
        if unknown and keys[told] and take(redis.call('HGET', keys[told], bucket)) then
            return 'profile'
        end
        local segment = segment_key(keys, manifest) or unknown and keys[told + 1]
        if segment and take(redis.call('HGET', segment, bucket)) then
            return 'segment'
        end
        if take(redis.call('HGET', keys[6], bucket)) then
            return 'popular'
        end
        take(redis.call('GET', keys[7]))
        return 'catalogue'
    end

    local reply = {rung(), bucket, label_for(manifest, at)}
    for _, pin in ipairs(pinned) do
        table.insert(chosen, math.min(pin.place, #chosen + 1), pin.id)
    end
    for _, id in ipairs(chosen) do
        reply[#reply + 1] = id
    end
    return reply
end

-- list: a field of a user's lists, whether these are text or packed. Read only: FCALL_RO.
--
-- KEYS  1 manifest:<generation>   2 list:{<user>}:<generation>
-- ARGV  1 a time, epoch seconds, or `segment`
-- Reply numbers of posts, best first, of the bucket that answers the time; or the segment's name; nil if there is none
-- Error the generation is not there, or an argument or a value is wrong
-- Cost  O(d) for the d posts of a list
--
--   redis-cli FCALL_RO list 2 almanac:1:manifest:$g "almanac:1:list:{200}:$g" 1640390400

local function list(keys, args)
    local text = redis.call('GET', keys[1])
    if not text then
        return redis.error_reply('ERR there is no ' .. keys[1])
    end
    local manifest, at = cjson.decode(text), tonumber(args[1])
    if not at and args[1] ~= 'segment' then
        return redis.error_reply('ERR want a time in epoch seconds, or `segment`')
    end
    return own_field(manifest, keys[2], at and string.format('%.0f', bucket_for(manifest, at)) or 'segment')
end

-- seen: what a user saw, or liked, the earliest first, whether it stands in the set or is packed. Read only: FCALL_RO.
--
-- KEYS  1 seen:{<user>}, or likes:{<user>}   2 the same with `:old`
-- ARGV  1 until when, epoch seconds   2 how many at most; the latest of them
-- Reply numbers of posts, each with its second
-- Error an argument or a value is wrong
-- Cost  O(s log s) for the s posts seen
--
--   redis-cli FCALL_RO seen 2 'almanac:1:seen:{200}' 'almanac:1:seen:{200}:old' 1640390400 3

local function seen(keys, args)
    local until_s, limit = tonumber(args[1]), tonumber(args[2])
    if not until_s or not limit then
        return redis.error_reply('ERR want a time in epoch seconds and how many')
    end
    local first_s, order, reply = {}, {}, {}
    local function add(post, at_s)
        if at_s <= until_s then
            if not first_s[post] then
                order[#order + 1] = post
            end
            first_s[post] = math.min(at_s, first_s[post] or at_s)
        end
    end
    local posts, times = unpack_seen(redis.call('GET', keys[2]))
    for k, post in ipairs(posts) do
        add(post, times[k])
    end
    local set = redis.call('ZRANGE', keys[1], 0, -1, 'WITHSCORES')
    for k = 1, #set, 2 do
        add(set[k], tonumber(set[k + 1]))
    end
    table.sort(order, function(a, b)
        if first_s[a] ~= first_s[b] then
            return first_s[a] < first_s[b]
        end
        return tonumber(a) < tonumber(b)
    end)
    for k = math.max(1, #order - limit + 1), #order do
        reply[#reply + 1], reply[#reply + 2] = order[k], string.format('%.0f', first_s[order[k]])
    end
    return reply
end

redis.register_function{function_name = 'seen', callback = seen, flags = {'no-writes'}}
redis.register_function{function_name = 'list', callback = list, flags = {'no-writes'}}
redis.register_function{function_name = 'feed', callback = feed, flags = {'no-writes'}}
