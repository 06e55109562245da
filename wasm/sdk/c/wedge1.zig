//! The SDK for Wedge policies in Zig: typed views of what a policy sees, and builders of what it decides.
//!
//!     const w = @import("wedge1.zig");
//!
//!     pub const caps = w.headers;
//!
//!     pub fn request(r: *const w.Request, a: *w.Actions) w.Error!void {
//!         if (r.header("x-plan")) |plan| {
//!             if (w.eql(plan, "free")) a.target("small");
//!         }
//!     }
//!
//!     comptime { w.serve(@This()); }
//!
//! serve exports what the policy declares: init(config), request, response, chunk and done. Text is valid until the
//! hook returns, the config's for good. Build it with: zig build-exe policy.zig -target wasm32-freestanding
//! -O ReleaseFast -fno-entry -rdynamic -fstrip --stack 16384

/// What a policy wants to see. The hooks add their own bits.
pub const body: u32 = 1 << 1;
pub const system: u32 = 1 << 2;
pub const user: u32 = 1 << 3;
pub const headers: u32 = 1 << 4;
pub const targets: u32 = 1 << 5;
pub const state: u32 = 1 << 9;

/// Failures that the node counts by their kind; what happens to the request is the catalog's on_error.
pub const Error = error{ Internal, BadInput, Unsupported, Config, Exhausted };

fn code(err: Error) i32 {
    return switch (err) {
        error.Internal => -1,
        error.BadInput => -2,
        error.Unsupported => -3,
        error.Config => -4,
        error.Exhausted => -5,
    };
}

pub const Text = []const u8;

// ---- memory ---------------------------------------------------------------------------------------------------------

var first_in: [16384]u8 align(8) = undefined;
var first_out: [4096]u8 align(8) = undefined;
var first_config: [1024]u8 = undefined;
var input: []align(8) u8 = &first_in;
var actions: Actions = .{ .list = &first_out };

/// Fresh zeroed memory in whole pages that nobody frees.
fn pages(size: usize) ?[]align(8) u8 {
    const n = (size >> 16) + 1;
    const old = @wasmMemoryGrow(0, n);
    if (old < 0) return null;
    const at: [*]align(8) u8 = @ptrFromInt(@as(usize, @intCast(old)) << 16);
    return at[0 .. n << 16];
}

fn copy(to: []u8, from: Text) void {
    @memcpy(to[0..from.len], from);
}

// ---- views ----------------------------------------------------------------------------------------------------------

/// Where a text lies, counted from the start of the view.
pub const Span = extern struct { off: u32, len: u32 };

fn textOf(view: *const anyopaque, span: Span) Text {
    const start: [*]const u8 = @ptrCast(view);
    return start[span.off..][0..span.len];
}

fn rowsOf(comptime Row: type, view: *const anyopaque, table: Span) []align(1) const Row {
    if (table.len == 0) return &.{};
    const start: [*]const u8 = @ptrCast(view);
    const n: *align(1) const u32 = @ptrCast(start + table.off);
    const rows: [*]align(1) const Row = @ptrCast(start + table.off + 4);
    return rows[0..n.*];
}

/// A name and its value; text() of either takes the view they are from.
pub const Pair = extern struct { name: Span, value: Span };

/// What a policy sees of a request. Of a Span, text(span) is the text.
pub const Request = extern struct {
    magic: u32,
    total: u32,
    header_len: u32,
    flags: Flags,
    id: u64,
    unix_ms: i64,
    prefix_hash: u64, // of system text and tools
    random: u64, // for draws
    prompt_tokens: u32, // estimated
    max_tokens: u32, // 0 where the client is silent
    messages: u32, // how many
    tools: u32, // how many
    temperature: f32, // NaN where the client is silent
    attempt: u32, // 0 for the first
    model: Span,
    tenant: Span,
    user: Span,
    endpoint: Span,
    system: Span,
    last_user: Span,
    headers: Span,
    targets: Span,
    body: Span,
    kv: Span,
    version: Span,

    pub const Flags = packed struct(u32) {
        stream: bool,
        has_tools: bool,
        has_images: bool,
        json_output: bool,
        retry: bool,
        rest: u27,
    };

    pub fn text(r: *const Request, span: Span) Text {
        return textOf(r, span);
    }

    /// The value of a header; the case of ASCII letters does not count.
    pub fn header(r: *const Request, name: Text) ?Text {
        return r.find(r.headers, name);
    }

    /// The value of a key that came with the request.
    pub fn keyValue(r: *const Request, key: Text) ?Text {
        return r.find(r.kv, key);
    }

    /// The rows of headers or kv.
    pub fn pairs(r: *const Request, table: Span) []align(1) const Pair {
        return rowsOf(Pair, r, table);
    }

    pub fn targetRows(r: *const Request) []align(1) const Target {
        return rowsOf(Target, r, r.targets);
    }

    fn find(r: *const Request, table: Span, name: Text) ?Text {
        for (r.pairs(table)) |row| {
            if (eqlFold(r.text(row.name), name)) return r.text(row.value);
        }
        return null;
    }
};

pub const Target = extern struct {
    name: Span,
    region: Span,
    flags: packed struct(u32) { healthy: bool, breaker: bool, rest: u30 },
    in_flight: u32,
    ttft_us: u32, // to the first token on average; 0 unknown
    us_per_token: u32, // per output token on average; 0 unknown
    price_in: u32, // nano-USD per 1,000 tokens; maximum: unknown
    price_out: u32,
};

/// One decoded delta of a streamed answer.
pub const Chunk = extern struct {
    magic: u32,
    total: u32,
    header_len: u32,
    flags: packed struct(u32) { first: bool, last: bool, rest: u30 },
    id: u64,
    seq: u32, // counts this request's chunks from 0
    choice: u32,
    tokens: u32, // sent so far, estimated
    reserved: u32,
    delta: Span,
    state: Span, // what the last call of this request left
    finish: Span,

    pub fn text(c: *const Chunk, span: Span) Text {
        return textOf(c, span);
    }
};

pub const EndFlags = packed struct(u32) { failed: bool, cached: bool, cancelled: bool, stream: bool, rest: u28 };

/// A whole answer's text.
pub const Response = extern struct {
    magic: u32,
    total: u32,
    header_len: u32,
    flags: EndFlags,
    id: u64,
    status: u32,
    choice: u32,
    input_tokens: u32,
    output_tokens: u32,
    answer: Span,
    state: Span,
    finish: Span,

    pub fn text(r: *const Response, span: Span) Text {
        return textOf(r, span);
    }
};

/// How a request ended.
pub const Done = extern struct {
    magic: u32,
    total: u32,
    header_len: u32,
    flags: EndFlags,
    id: u64,
    status: u32,
    ttft_us: u32,
    duration_us: u32,
    input_tokens: u32,
    output_tokens: u32,
    cached_tokens: u32,
    reasoning_tokens: u32,
    reserved: u32,
    cost_nano_usd: u64, // maximum: unknown
    model: Span,
    version: Span,
    target: Span,
    state: Span,

    pub fn text(d: *const Done, span: Span) Text {
        return textOf(d, span);
    }
};

// ---- actions --------------------------------------------------------------------------------------------------------

pub const Cache = enum(u32) { keep, off, exact };
pub const Level = enum(u32) { debug, info, warn, err };
pub const Place = enum(u32) { prepend, replace };
pub const Patch = struct { offset: u32, delete: u32, insert: Text };

/// The list that a hook fills.
pub const Actions = struct {
    list: []align(8) u8,
    len: usize = 0,
    last: usize = 0, // where the newest action begins
    failed: bool = false,

    fn room(a: *Actions, n: usize) bool {
        return a.len + n <= a.list.len or a.grow(n);
    }

    noinline fn grow(a: *Actions, n: usize) bool {
        const fresh = pages(@max(a.len + n, 2 * a.list.len)) orelse {
            a.failed = true;
            return false;
        };
        copy(fresh, a.list[0..a.len]);
        a.list = fresh;
        return true;
    }

    /// put… appends to the payload of the action that begin opened.
    pub fn put(a: *Actions, bytes: Text) void {
        if (!a.room(bytes.len)) return;
        copy(a.list[a.len..], bytes);
        a.len += bytes.len;
    }

    pub fn putInt(a: *Actions, comptime Int: type, n: Int) void {
        const bytes: [@sizeOf(Int)]u8 = @bitCast(n);
        a.put(&bytes);
    }

    /// Opens an action by its number in the ABI, for text that is made in place.
    pub fn begin(a: *Actions, tag: u16) void {
        a.last = a.len;
        a.putInt(u64, tag);
    }

    pub fn end(a: *Actions) void {
        if (a.failed) return;
        const n: u32 = @intCast(a.len - a.last - 8);
        const bytes: [4]u8 = @bitCast(n);
        copy(a.list[a.last + 4 ..], &bytes);
        const padding = [3]u8{ 0, 0, 0 };
        a.put(padding[0 .. (0 -% n) & 3]);
    }

    /// Takes the newest action back.
    pub fn undo(a: *Actions) void {
        a.len = a.last;
    }

    /// Refuses the request rather than do without the newest action.
    pub fn critical(a: *Actions) void {
        if (a.len > a.last) a.list[a.last + 2] |= 1;
    }

    fn add(a: *Actions, tag: u16, rest: Text) void {
        a.begin(tag);
        a.put(rest);
        a.end();
    }

    fn addInt(a: *Actions, tag: u16, n: u32, rest: Text) void {
        a.begin(tag);
        a.putInt(u32, n);
        a.put(rest);
        a.end();
    }

    fn addPair(a: *Actions, tag: u16, name: Text, value: Text) void {
        a.begin(tag);
        a.putInt(u16, @intCast(name.len));
        a.put(name);
        a.put(value);
        a.end();
    }

    /// Chooses a target by its name in the catalog.
    pub fn target(a: *Actions, name: Text) void {
        a.add(1, name);
    }
    /// Names the targets to try next, separated by commas.
    pub fn fallbacks(a: *Actions, names: Text) void {
        a.add(2, names);
    }
    /// Sends the request to another model: a reference such as bot or bot@1.x.
    pub fn model(a: *Actions, reference: Text) void {
        a.add(3, reference);
    }
    /// Chooses a version, or an arm of the experiment on the model.
    pub fn version(a: *Actions, name: Text) void {
        a.add(4, name);
    }
    /// Sets a header of the request upstream.
    pub fn setHeader(a: *Actions, name: Text, value: Text) void {
        a.addPair(5, name, value);
    }
    /// Takes a header out of the request upstream.
    pub fn deleteHeader(a: *Actions, name: Text) void {
        a.add(6, name);
    }
    /// Sets a header of the answer to the client.
    pub fn responseHeader(a: *Actions, name: Text, value: Text) void {
        a.addPair(7, name, value);
    }
    /// Refuses the request with an HTTP status and the seconds after which to try again (0: do not say).
    pub fn deny(a: *Actions, status: u16, retry_after: u16, message_text: Text) void {
        a.addInt(8, status | @as(u32, retry_after) << 16, message_text);
    }
    /// Adds bytes to the cache key.
    pub fn cacheSalt(a: *Actions, salt: Text) void {
        a.add(9, salt);
    }
    /// Says whether and for how many seconds (0: the model's) the answer is cached.
    pub fn cache(a: *Actions, mode: Cache, ttl: u32) void {
        a.begin(10);
        a.putInt(u32, @intFromEnum(mode));
        a.putInt(u32, ttl);
        a.end();
    }
    /// Tags the request in metrics and logs: at most 8 tags, 32 bytes for a key and for a value.
    pub fn metric(a: *Actions, key: Text, value: Text) void {
        a.addPair(11, key, value);
    }
    /// Edits the body. The patches are sorted and do not overlap.
    pub fn patches(a: *Actions, list: []const Patch) void {
        a.begin(12);
        a.putInt(u32, @intCast(list.len));
        for (list) |p| {
            a.putInt(u32, p.offset);
            a.putInt(u32, p.delete);
            a.putInt(u32, @intCast(p.insert.len));
        }
        for (list) |p| a.put(p.insert);
        a.end();
    }
    /// Replaces the whole body.
    pub fn replaceBody(a: *Actions, whole: Text) void {
        a.add(13, whole);
    }
    /// Puts plain text before the system text, or in its place.
    pub fn systemText(a: *Actions, place: Place, plain: Text) void {
        a.addInt(14, @intFromEnum(place), plain);
    }
    /// Replaces the text of the message with the index, counted from 0.
    pub fn message(a: *Actions, index: u32, plain: Text) void {
        a.addInt(15, index, plain);
    }
    /// Bounds the tokens of the answer.
    pub fn maxTokens(a: *Actions, n: u32) void {
        a.addInt(16, n, "");
    }
    /// Bounds the time of an attempt.
    pub fn timeoutMs(a: *Actions, ms: u32) void {
        a.addInt(17, ms, "");
    }
    /// Writes a line to the node's log.
    pub fn log(a: *Actions, level: Level, line: Text) void {
        a.addInt(18, @intFromEnum(level), line);
    }
    /// Keeps a value for ttl seconds, 0 while the node runs.
    pub fn kvPut(a: *Actions, key: Text, value: Text, ttl: u32) void {
        a.begin(19);
        a.putInt(u32, ttl);
        a.putInt(u16, @intCast(key.len));
        a.put(key);
        a.put(value);
        a.end();
    }
    /// Adds to a counter that begins at 0 and is kept for ttl seconds, 0 while the node runs.
    pub fn kvAdd(a: *Actions, key: Text, delta: i64, ttl: u32) void {
        a.begin(20);
        a.putInt(i64, delta);
        a.putInt(u32, ttl);
        a.put(key);
        a.end();
    }
    /// Starts a second attempt if the first has not begun to answer in time.
    pub fn hedgeMs(a: *Actions, ms: u32) void {
        a.addInt(21, ms, "");
    }
    /// Sends a copy of the request to a target whose answer nobody gets.
    pub fn shadow(a: *Actions, name: Text) void {
        a.add(22, name);
    }
    /// Answers in the provider's place.
    pub fn answer(a: *Actions, plain: Text) void {
        a.add(23, plain);
    }
    /// Leaves at most 256 bytes for the next view of this request.
    pub fn keep(a: *Actions, bytes: Text) void {
        a.add(24, bytes);
    }
    /// Puts other text in the place of the chunk's or the response's.
    pub fn replace(a: *Actions, plain: Text) void {
        a.add(25, plain);
    }
    /// Keeps the chunk back.
    pub fn drop(a: *Actions) void {
        a.add(26, "");
    }
    /// Ends the stream well after this chunk.
    pub fn stop(a: *Actions, reason: Text) void {
        a.add(27, reason);
    }
};

// ---- imports: what is used is imported ------------------------------------------------------------------------------

const host = struct {
    extern "wedge1" fn log(level: u32, ptr: [*]const u8, len: usize) void;
    extern "wedge1" fn kv_get(key: [*]const u8, key_len: usize, dst: [*]u8, cap: usize) i32;
    extern "wedge1" fn kv_put(key: [*]const u8, key_len: usize, value: [*]const u8, len: usize, ttl: u32) i32;
    extern "wedge1" fn kv_add(key: [*]const u8, key_len: usize, delta: i64, ttl: u32) i64;
    extern "wedge1" fn now_ms() i64;
};

/// Writes a line to the node's log at once, also where the call fails later.
pub fn logNow(level: Level, line: Text) void {
    host.log(@intFromEnum(level), line.ptr, line.len);
}

/// Copies the key's value to dst and gives it, if there is one and it fits.
pub fn kvGet(key: Text, dst: []u8) ?Text {
    const n = host.kv_get(key.ptr, key.len, dst.ptr, dst.len);
    return if (n < 0 or n > dst.len) null else dst[0..@intCast(n)];
}

/// Keeps a value for ttl seconds, 0 while the node runs; false if the key or the value is too long.
pub fn kvPutNow(key: Text, value: Text, ttl: u32) bool {
    return host.kv_put(key.ptr, key.len, value.ptr, value.len, ttl) >= 0;
}

/// Adds to a counter that is kept for ttl seconds from its first addition, and gives the sum.
pub fn kvAddNow(key: Text, delta: i64, ttl: u32) i64 {
    return host.kv_add(key.ptr, key.len, delta, ttl);
}

/// The time, in Unix milliseconds.
pub fn nowMs() i64 {
    return host.now_ms();
}

// ---- helpers --------------------------------------------------------------------------------------------------------

pub fn eql(a: Text, b: Text) bool {
    if (a.len != b.len) return false;
    for (a, b) |x, y| if (x != y) return false;
    return true;
}

pub fn lower(c: u8) u8 {
    return if (c -% 'A' < 26) c | 0x20 else c;
}

/// Equal but for the case of ASCII letters.
pub fn eqlFold(a: Text, b: Text) bool {
    if (a.len != b.len) return false;
    for (a, b) |x, y| if (lower(x) != lower(y)) return false;
    return true;
}

/// FNV-1a over text with a mixed end: the same text gives the same number in every SDK. Start with seed 0.
pub fn hash(seed: u64, text: Text) u64 {
    var h: u64 = 14695981039346656037 ^ seed;
    for (text) |c| h = (h ^ c) *% 1099511628211;
    h ^= h >> 33;
    h *%= 0xff51afd7ed558ccd;
    return h ^ (h >> 33);
}

/// The whole number that text begins with.
pub fn int(text: Text) ?i64 {
    const negative = text.len > 0 and text[0] == '-';
    const digits = if (negative) text[1..] else text;
    var n: usize = 0;
    var v: i64 = 0;
    while (n < digits.len and digits[n] -% '0' < 10) : (n += 1) v = v *% 10 +% (digits[n] - '0');
    if (n == 0) return null;
    return if (negative) -%v else v;
}

/// A walk over a JSON object or array, enough for a config. A string comes without its quotes, its escapes as they
/// stand. std.json does the whole of JSON at the price of 40 KB.
pub const Json = struct {
    rest: Text,

    pub const Member = struct { name: Text, value: Text };

    pub fn walk(json: Text) Json {
        const all = trim(json);
        return .{ .rest = if (all.len > 0) all[1..] else all };
    }

    /// The next member of an object.
    pub fn member(w: *Json) ?Member {
        return .{ .name = w.element() orelse return null, .value = w.element() orelse return null };
    }

    /// The next element of an array.
    pub fn element(w: *Json) ?Text {
        const all = trim(w.rest);
        const n = valueLen(all);
        if (n == 0) return null;
        w.rest = all[n..];
        return if (all[0] == '"' and n > 1) all[1 .. n - 1] else all[0..n];
    }

    fn between(c: u8) bool {
        return c == ' ' or c == '\n' or c == '\t' or c == '\r' or c == ',' or c == ':';
    }

    fn trim(s: Text) Text {
        var i: usize = 0;
        while (i < s.len and between(s[i])) i += 1;
        return s[i..];
    }

    fn valueLen(s: Text) usize {
        var depth: usize = 0;
        var quoted = false;
        var i: usize = 0;
        while (i < s.len) : (i += 1) {
            const c = s[i];
            if (quoted) {
                if (c == '\\') i += 1 else if (c == '"') quoted = false;
                if (!quoted and depth == 0) return @min(i + 1, s.len);
            } else if (c == '"') {
                quoted = true;
            } else if (c == '{' or c == '[') {
                depth += 1;
            } else if (c == '}' or c == ']') {
                if (depth == 0) return i;
                depth -= 1;
                if (depth == 0) return i + 1;
            } else if (depth == 0 and between(c)) return i;
        }
        return s.len;
    }
};

/// The value of a member of a JSON object.
pub fn jsonGet(object: Text, name: Text) ?Text {
    var walk = Json.walk(object);
    while (walk.member()) |m| if (eql(m.name, name)) return m.value;
    return null;
}

// ---- exports --------------------------------------------------------------------------------------------------------

fn alloc(size: u32) callconv(.c) usize {
    if (size > input.len) input = pages(@max(size, 2 * input.len)) orelse return 0;
    return @intFromPtr(input.ptr);
}

/// Exports the policy that a file's public declarations are.
pub fn serve(comptime Policy: type) void {
    const exports = struct {
        fn caps() callconv(.c) u32 {
            var bits: u32 = if (@hasDecl(Policy, "caps")) Policy.caps else 0;
            if (@hasDecl(Policy, "chunk")) bits |= 64;
            if (@hasDecl(Policy, "response")) bits |= 128;
            if (@hasDecl(Policy, "done")) bits |= 256;
            return bits;
        }

        fn init(len: u32) callconv(.c) i32 {
            if (!@hasDecl(Policy, "init")) return 0;
            const kept: []u8 = if (len <= first_config.len) &first_config else pages(len) orelse return -5;
            copy(kept, input[0..len]);
            Policy.init(kept[0..len]) catch |err| return code(err);
            return 0;
        }

        fn hook(comptime View: type, comptime name: []const u8) fn (u32) callconv(.c) i64 {
            return struct {
                fn call(_: u32) callconv(.c) i64 {
                    actions.len = 0;
                    actions.last = 0;
                    actions.failed = false;
                    const view: *const View = @ptrCast(input.ptr);
                    @field(Policy, name)(view, &actions) catch |err| return code(err);
                    if (actions.failed) return -5;
                    if (actions.len == 0) return 0;
                    return @as(i64, @intCast(@intFromPtr(actions.list.ptr))) << 32 | @as(i64, @intCast(actions.len));
                }
            }.call;
        }
    };
    @export(&alloc, .{ .name = "wedge1_alloc" });
    @export(&exports.caps, .{ .name = "wedge1_caps" });
    @export(&exports.init, .{ .name = "wedge1_init" });
    if (@hasDecl(Policy, "request")) @export(&exports.hook(Request, "request"), .{ .name = "wedge1_request" });
    if (@hasDecl(Policy, "response")) @export(&exports.hook(Response, "response"), .{ .name = "wedge1_response" });
    if (@hasDecl(Policy, "chunk")) @export(&exports.hook(Chunk, "chunk"), .{ .name = "wedge1_chunk" });
    if (@hasDecl(Policy, "done")) @export(&exports.hook(Done, "done"), .{ .name = "wedge1_done" });
}
