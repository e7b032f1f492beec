-- What wrk sends, and how it checks each answer. WORK in the environment names the kind of work.

local json = {["Content-Type"] = "application/json"}
local at_once = {["Content-Type"] = "application/json", ["Prefer"] = "respond-async"}

local function is_relayed(body) return body == "cde" end
local function has_result(body) return body:find('"result": ?"cde"') ~= nil end

local counted = 0
local asked = {} -- the jobs' numbers that are not answered yet
local to_fetch = {} -- where results of jobs that were answered at once can be fetched

local function next_job(path, headers, wrap)
    counted = counted + 1
    local number = string.format("%d", thread_number * 1000000 + counted)
    asked[number] = true
    return wrk.format("POST", path, headers, string.format(wrap, number))
end

local function is_job(body)
    local number = body:match('"job_id": ?(%d+)')
    local was_asked = number ~= nil and asked[number] == true
    if was_asked then asked[number] = nil end
    return was_asked
end

local plain_job, called_job = '{"job_id": %s}', '{"kwargs": {"job_id": %s}}'
local call = '{"args": ["abcdefghi"]}'

local function fetch_or(path, headers, wrap, wait)
    local location = table.remove(to_fetch, 1)
    if location then return wrk.format("GET", location .. wait) end
    return next_job(path, headers, wrap)
end

local function always(...)
    local arguments, request = {...}, nil
    return function()
        request = request or wrk.format(unpack(arguments, 1, 4)) -- the host is known from the first request on
        return request
    end
end

local works = {
    relay = {always("POST", "/", nil, "abcdefghi"), is_relayed},
    call = {always("POST", "/v1/tasks/test", json, call), has_result},
    flower = {always("POST", "/api/task/apply/test", json, call), has_result},
    job = {function() return next_job("/job", json, plain_job) end, is_job},
    job_called = {function() return next_job("/v1/tasks/short_job", json, called_job) end, is_job},
    job_fetched = {function() return fetch_or("/job", json, plain_job, "") end, is_job},
    job_run = {function() return fetch_or("/v1/tasks/short_job", at_once, called_job, "?wait=10") end, is_job},
}
local work = works[os.getenv("WORK")]
local ask, is_right = work[1], work[2]
local threads = {}

function setup(thread)
    table.insert(threads, thread)
    thread:set("thread_number", #threads)
    thread:set("sent", 0)
    thread:set("right", 0)
    thread:set("wrong", 0)
    thread:set("first_wrong", "")
end

function request()
    sent = (sent or 0) + 1 -- wrk asks for one before there are threads
    return ask()
end

function response(status, headers, body)
    if status == 202 and headers["Location"] then
        table.insert(to_fetch, headers["Location"])
    elseif status == 200 and is_right(body) then
        right = right + 1
    else
        wrong = wrong + 1
        if wrong == 1 then first_wrong = status .. " " .. body:sub(1, 300) end
    end
end

function done(summary, latency, requests)
    local sent, right, wrong, first = 0, 0, 0, ""
    for _, thread in ipairs(threads) do
        sent, right, wrong = sent + thread:get("sent"), right + thread:get("right"), wrong + thread:get("wrong")
        first = first .. thread:get("first_wrong")
    end
    local errors = summary.errors
    local cuts = {}
    for _, cut in ipairs({50, 95, 99}) do
        table.insert(cuts, string.format('"p%d": %.3f', cut, latency:percentile(cut) / 1000))
    end
    -- What was wrong goes to its own line, where nothing needs to be quoted.
    print("WRONG " .. first:gsub("%s+", " "))
    print(string.format(
        'RESULT {"sent": %d, "right": %d, "wrong": %d, "errors": %d, "timeouts": %d, "seconds": %.6f, %s}',
        sent, right, wrong,
        errors.connect + errors.read + errors.write, errors.timeout, summary.duration / 1e6, table.concat(cuts, ", ")
    ))
end
